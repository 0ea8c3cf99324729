"""The interfaces that a worker uses: a fold, and the thread that reads for it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from refold.streams.chunk import Chunk, Place


class ChunkFold(Protocol):
    """Folds chunks into tables and moves the position in the same transaction."""

    group: str

    @property
    def topics(self) -> Sequence[str]:
        """Full names of the topics it reads."""

    def stored(self, places: Sequence[Place]) -> dict[Place, int]:
        """The group's positions; a new place gets a row at 0."""

    def apply(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        """Fold in one transaction; give each place's new position (the rest comes again). Raises Lost: rolled back."""

    def reconnect(self) -> None:
        """Connect again, once Postgres is back."""

    def close(self) -> None: ...


class Reader(Protocol):
    """The thread that reads, as the intake sees it."""

    def is_current(self, chunk: Chunk) -> bool: ...
    def places(self) -> list[Place]: ...
    def assignments(self) -> Mapping[Place, int]: ...
    def position(self, place: Place) -> int | None: ...
    def seek(self, place: Place, offset: int) -> int: ...
    def pause(self, place: Place) -> None: ...
    def resume(self, place: Place) -> None: ...
    def end(self, place: Place) -> int | None: ...
