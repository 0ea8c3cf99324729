"""What a worker needs of a fold, and of the thread that reads for it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from refold.streams.chunk import Chunk, Place


class ChunkFold(Protocol):
    """A fold of chunks into tables whose position moves in the same transaction."""

    group: str

    @property
    def topics(self) -> Sequence[str]:
        """Full names of the topics it reads."""

    def stored(self, places: Sequence[Place]) -> dict[Place, int]:
        """Where the group stands; a new place gets a row at 0."""

    def apply(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        """Fold in one transaction; how far each place got (the rest is offered again). Raises Lost after a rollback."""

    def reconnect(self) -> None:
        """A new connection, once Postgres is back."""

    def close(self) -> None: ...


class Reader(Protocol):
    """What the intake asks of the thread that reads."""

    def is_current(self, chunk: Chunk) -> bool: ...
    def places(self) -> list[Place]: ...
    def assignments(self) -> Mapping[Place, int]: ...
    def position(self, place: Place) -> int | None: ...
    def seek(self, place: Place, offset: int) -> int: ...
    def pause(self, place: Place) -> None: ...
    def resume(self, place: Place) -> None: ...
    def end(self, place: Place) -> int | None: ...
