"""What an author needs to write reactors: pure functions that answer events with commands.

They run in `refold.streams.reactors`, which nothing that folds or replays may import.
"""

from refold.streams.reactors.reactor import Nothing, Reactor, Seen

__all__ = ["Nothing", "Reactor", "Seen"]
