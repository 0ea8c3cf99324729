"""Process managers: pure reactors answer events with commands.

No fold and no replay may import this package, so a replay cannot cause an effect: import-linter and a test hold this.
Read first: `reactor` (the contract for authors), `retail/reactors` (an example), `reacting` (one batch, no I/O),
`fold`.
"""
