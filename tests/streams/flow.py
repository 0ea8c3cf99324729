"""A fake reader, for tests of code that asks a reader."""

from refold.streams.chunk import Chunk, Place


class Flow:
    """A reader of one place, whose chunks are all current; notes what it is told."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.told: list[str] = []

    def is_current(self, _: Chunk) -> bool:
        return True

    def places(self) -> list[Place]:
        return [self._place]

    def assignments(self) -> dict[Place, int]:
        return {self._place: 1}

    def position(self, _: Place) -> int | None:
        return None

    def seek(self, _: Place, offset: int) -> int:
        return offset

    def pause(self, _: Place) -> None:
        self.told.append("pause")

    def resume(self, _: Place) -> None:
        self.told.append("resume")

    def end(self, _: Place) -> int | None:
        return None
