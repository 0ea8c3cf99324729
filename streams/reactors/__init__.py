"""Process managers: pure reactors answer events with commands.

Nothing that folds or replays may import this package, so a replay cannot cause an effect: held by import-linter and a test.
Read first: `reactor` (what an author writes), `retail` (the reference domain's), `reacting` (one batch, without I/O), `fold`.
"""
