"""A fold that works under the guard: each batch is an attempt (see `guard/guard`)."""

from collections.abc import Sequence

from refold.streams.chunk import Chunk, Place
from refold.streams.guard.guard import Guard
from refold.streams.worker.ports import ChunkFold


class GuardedFold:
    """Offers each batch to a fold as an attempt of the guard."""

    def __init__(self, fold: ChunkFold, guard: Guard) -> None:
        self._fold, self._guard = fold, guard
        self.group, self.topics = fold.group, fold.topics

    def stored(self, places: Sequence[Place]) -> dict[Place, int]:
        return self._fold.stored(places)

    def apply(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        """Raises what the fold raises, and RecordKills."""
        return self._guard.attempt(chunks, self._fold.apply)

    def reconnect(self) -> None:
        self._fold.reconnect()

    def close(self) -> None:
        self._fold.close()
