"""Workers that drive a fold: they take arriving records, and hear those notices of the core that matter."""

import time
from collections.abc import Callable, Mapping, Sequence

from refold.streams.chunk import Chunk, Place
from refold.streams.postgres.notices import POLL_S, CorePositions
from refold.streams.worker.intake import Intake
from refold.streams.worker.ports import ChunkFold


class FoldWorker:
    """Drives a fold that works whenever records arrive."""

    def __init__(self, intake: Intake, fold: ChunkFold) -> None:
        self._intake, self._fold = intake, fold

    def take(self, chunks: Sequence[Chunk]) -> None:
        self._intake.take(chunks)

    def wake(self) -> None:
        self._intake.fold()

    def is_waiting(self) -> bool:
        return False

    def positions(self) -> Mapping[Place, int]:
        return self._intake.positions()

    def check(self) -> None:
        self._intake.check()

    def close(self) -> None:
        self._fold.close()


class FollowingWorker(FoldWorker):
    """Drives a fold that goes no further than the core: records mostly arrive earlier, and wait for the core's notice.

    A notice may be lost, so the fold also tries every 250 ms; that pauses the reader, too, while the core stands.
    """

    def __init__(self, intake: Intake, fold: ChunkFold, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(intake, fold)
        self._core, self._clock, self._tried = CorePositions(), clock, 0.0

    def take(self, chunks: Sequence[Chunk]) -> None:
        self._intake.keep(chunks)
        due = self._clock() - self._tried >= POLL_S
        if due or any(self._core.may_be_beyond(place, start) for place, start in self._intake.starts().items()):
            self.wake()

    def wake(self) -> None:
        self._tried = self._clock()
        super().wake()

    def hear(self, payload: str) -> bool:
        """Take a notice of the core; give whether it is worth a wake. Called in another thread, at any time."""
        # The notice is noted before records are looked for; `take` keeps records before it looks at notices. So one of
        # the two always sees what the other has stored.
        self._core.hear(payload)
        return self._intake.keeps_any()
