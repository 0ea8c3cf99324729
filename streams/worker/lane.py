"""A lane: a worker, its thread, and the chunks that wait. A failure here ends the process, which is restarted."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Protocol

import psycopg

from refold.schemas.errors import RefoldError
from refold.streams import journal
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import LogRefused, NewerRules, Refused
from refold.streams.exit_codes import PRECONDITION, WORK_FAILED
from refold.streams.operation.presence import ending
from refold.streams.postgres.notices import POLL_S
from refold.streams.refusals import is_passing, of_statement
from refold.streams.worker.fold_worker import FollowingWorker
from refold.streams.worker.group_consumer import ReaderConfig
from refold.streams.worker.group_reader import MOST_BYTES
from refold.streams.worker.ports import Reader

_log = logging.getLogger(__name__)
_SOON_S = 0.02
_FULL = 3
"""Full reads that may wait for a lane: lanes are fed in turn, and none should run dry while another is full."""


class Worker(Protocol):
    """The work that an agent drives. All its methods run in one thread, one at a time, except where they say so."""

    def take(self, chunks: Sequence[Chunk]) -> None:
        """Take records that have arrived."""

    def wake(self) -> None:
        """Try to go on. Called after a wanted notice, and every 250 ms, or every 20 ms while `is_waiting`."""

    def is_waiting(self) -> bool:
        """Whether the worker waits for the core's next step. Asked in another thread, at any time."""

    def positions(self) -> Mapping[Place, int]:
        """The position of each place, as far as it is known. Asked in another thread, at any time."""

    def check(self) -> None:
        """Look after positions and connections. Called once a second."""

    def close(self) -> None:
        """Release everything: the process ends."""


def lane_of(place: Place, lanes: int) -> int:
    """The lane that folds a partition. Each topic's partitions are dealt out, since mostly one topic is busy."""
    return place[1] % lanes


@dataclass(frozen=True)
class Share:
    """A reader as one of `lanes` lanes sees it: every `lanes`-th partition of each topic belongs to the lane."""

    reader: Reader
    number: int
    lanes: int

    def is_ours(self, place: Place) -> bool:
        return lane_of(place, self.lanes) == self.number

    def places(self) -> list[Place]:
        return [place for place in self.reader.places() if self.is_ours(place)]

    def assignments(self) -> Mapping[Place, int]:
        return {place: number for place, number in self.reader.assignments().items() if self.is_ours(place)}

    def is_current(self, chunk: Chunk) -> bool:
        return self.reader.is_current(chunk)

    def position(self, place: Place) -> int | None:
        return self.reader.position(place)

    def seek(self, place: Place, offset: int) -> int:
        return self.reader.seek(place, offset)

    def pause(self, place: Place) -> None:
        self.reader.pause(place)

    def resume(self, place: Place) -> None:
        self.reader.resume(place)

    def end(self, place: Place) -> int | None:
        return self.reader.end(place)


class Lane:
    """One thread's share of a process's work. The event loop's thread calls it."""

    def __init__(self, config: ReaderConfig, worker: Worker | None, stopping: Event) -> None:
        self._config, self._worker, self._stopping = config, worker, stopping
        self._folding = ThreadPoolExecutor(1, thread_name_prefix="fold")
        self._woken, self._taken = asyncio.Event(), asyncio.Event()
        self._arrived: list[Chunk] = []
        self._began = 0.0

    @property
    def follows(self) -> bool:
        """Whether the lane's worker wants the core's notices."""
        return isinstance(self._worker, FollowingWorker)

    def heard(self, payload: str) -> None:
        """The core moved, or notices may have been missed."""
        if isinstance(self._worker, FollowingWorker) and self._worker.hear(payload):
            self._woken.set()

    def offer(self, chunks: list[Chunk]) -> None:
        """Leave chunks for the next transaction."""
        self._arrived += chunks
        self._woken.set()

    async def has_room(self) -> None:
        """Return once there is room."""
        while self._is_full() and not self._stopping.is_set():
            self._taken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._taken.wait()

    async def fold_for_ever(self) -> None:
        """Fold until the process stops."""
        while not self._stopping.is_set():
            await self._fold_what_waits()

    async def call(self, method: Callable[..., None], *arguments: object) -> None:
        """Run a method of the worker in the lane's thread."""
        if self._worker is None or self._stopping.is_set():
            return
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._folding, self._guarded, method, self._worker, *arguments)

    def stop(self) -> None:
        """Stop without waiting. The next process does what is left, from the stored position."""
        self._folding.shutdown(wait=False, cancel_futures=True)

    def _is_full(self) -> bool:
        records = sum(len(chunk.values) for chunk in self._arrived)
        return records >= _FULL * self._config.records or sum(chunk.size for chunk in self._arrived) >= MOST_BYTES

    async def _fold_what_waits(self) -> None:
        """Wait for chunks, a notice, or 250 ms (20 ms if the worker waits); then hand over all chunks at once."""
        with contextlib.suppress(TimeoutError):
            waiting = self._worker is not None and self._worker.is_waiting()
            async with asyncio.timeout(_SOON_S if waiting else POLL_S):
                await self._woken.wait()
        await self._keep_the_pace()
        self._woken.clear()
        arrived, self._arrived = self._arrived, []
        self._taken.set()
        if arrived:
            await self.call(Worker.take, arrived)
        else:
            await self.call(Worker.wake)

    async def _keep_the_pace(self) -> None:
        """Sleep until `pace_s` after the last transaction began. Arriving chunks stay bounded: the reader waits."""
        loop = asyncio.get_running_loop()
        left = self._began + self._config.pace_s - loop.time()
        if left > 0 and not self._stopping.is_set():
            await asyncio.sleep(left)
        self._began = loop.time()

    def _guarded(self, method: Callable[..., None], worker: Worker, *arguments: object) -> None:
        try:
            getattr(worker, method.__name__)(*arguments)
        except BaseException as problem:
            if self._stopping.is_set():
                return
            if isinstance(problem, psycopg.Error):
                problem = of_statement(problem)
            if isinstance(problem, RefoldError):
                _log.error("%s: %s %s", problem.code, problem.message, problem.remedy, extra=journal.about(problem))
            elif isinstance(problem, SystemExit):  # a deliberate end: its sentence says why
                _log.error("the worker of group %s ends: %s", self._config.group, problem)
            else:
                _log.exception("the worker of group %s failed", self._config.group)
            ending(problem)
            final = isinstance(problem, LogRefused | NewerRules | Refused) and not is_passing(problem)
            journal.leave(PRECONDITION if final else WORK_FAILED)
