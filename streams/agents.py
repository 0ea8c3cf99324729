"""Faust, and all of it that Refold uses: an app whose agent takes chunks from a channel, with timers, supervision and a clean stop.

Faust's own Kafka consumer and producer are switched off by its boot strategy: chunks come from `reader`'s librdkafka thread, and
positions live in Postgres. So no idle second consumer sits in a group, and Faust's acknowledgements decide nothing.
"""

import asyncio
import contextlib
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import faust
import mode
from faust.app.base import BootStrategy

from refold.schemas.errors import RefoldError
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import LogRefused, NewerRules
from refold.streams.fold_worker import FoldWorker, FollowingWorker
from refold.streams.guard import GuardedFold, process_guard
from refold.streams.intake import ChunkFold, Intake
from refold.streams.notices import POLL_S, listen
from refold.streams.positions import stored
from refold.streams.postgres import connect_patiently
from refold.streams.reader import MOST_BYTES, REFUSED, GroupReader, ReaderConfig, Start, put_into
from refold.streams.settings import Settings

_log = logging.getLogger(__name__)
_ALLOCATIONS = 50_000
_CORE = "core"
_CHANNEL_CHUNKS = 4
_CHECK_S, _SOON_S = 1.0, 0.02
_STOP_S = 4.0
_SWITCH_S = 0.0005
"""Three threads hand each record on: at Python's 5 ms each hand-over would wait that long behind whoever computes."""
FAILED = 70


class Worker(Protocol):
    """What an agent drives. All its methods run in one thread, one at a time."""

    def take(self, chunks: Sequence[Chunk]) -> None:
        """Records have arrived."""

    def wake(self) -> None:
        """A notice was wanted and came, or 250 ms went by, or 20 ms while it is waiting."""

    def is_waiting(self) -> bool:
        """Whether something depends on what the core does next. Asked in another thread, at any time."""

    def check(self) -> None:
        """A second went by."""

    def close(self) -> None:
        """The process ends."""


class _NoKafka(BootStrategy):
    enable_kafka = False
    enable_web = False


class _App(faust.App):
    BootStrategy = _NoKafka


def run_fold(
    settings: Settings,
    unguarded: ChunkFold,
    *,
    keys: bool = False,
    follows: bool = False,
    pace_s: float = 0.0,
    whole: int = 1,
) -> None:
    """Run a fold until SIGTERM or SIGINT.

    `follows`: it goes no further than the core. `pace_s`: the least time between two transactions while little arrives.
    `whole`: how many records may be whole only together.
    """
    fold = GuardedFold(unguarded, process_guard(settings, unguarded.group, whole))

    def start(places: list[Place]) -> dict[Place, int | None]:
        with connect_patiently(settings.dsn(), application_name=f"{fold.group}-start") as db:
            return dict(stored(db, fold.group, places))

    def worker(reader: GroupReader, stopping: threading.Event) -> Worker:
        kind = FollowingWorker if follows else FoldWorker
        return kind(Intake(fold, reader, 4 * settings.chunk_records, stopping), fold)

    group = f"{settings.topic_prefix}refold-{fold.group}"
    config = ReaderConfig(settings.kafka_servers(), group, fold.topics, settings.chunk_records, keys, pace_s)
    run_agent(settings, config, start, worker)


def _leave_alone_what_stays() -> None:
    """The garbage collector passes over all that lives at the start, and looks less often: it took a sixth of the handler's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS)


def run_agent(
    settings: Settings, config: ReaderConfig, start: Start, make: Callable[[GroupReader, threading.Event], Worker]
) -> None:
    """Run one Faust app with one agent over chunks until SIGTERM or SIGINT."""
    sys.setswitchinterval(_SWITCH_S)
    folder = settings.data.absolute() / "faust" / config.group
    folder.mkdir(parents=True, exist_ok=True)
    app = _App(config.group, broker="kafka://unused", web_enabled=False, datadir=str(folder))
    channel = app.channel(maxsize=_CHANNEL_CHUNKS)
    host = _Host(config, start, make)

    @app.service
    class _Threads(faust.Service):
        async def on_start(self) -> None:
            app.flow_control.resume()
            _leave_alone_what_stays()
            host.start(asyncio.get_running_loop(), channel.put)

        @faust.Service.task
        async def _listening(self) -> None:
            if isinstance(host.worker, FollowingWorker):
                await listen(settings.dsn(), [_CORE], host.heard, config.group)

        @faust.Service.task
        async def _folding(self) -> None:
            while not self.should_stop:
                await host.fold_what_waits()

        @faust.Service.timer(_CHECK_S)
        async def _checking(self) -> None:
            await host.call(Worker.check)

        async def on_stop(self) -> None:
            await host.stop()

    @app.agent(channel)
    async def folding(stream: Any) -> None:
        async for chunks in stream:
            await host.offer(chunks)

    mode.Worker(
        app, quiet=True, override_logging=False, redirect_stdouts=False, loop=asyncio.new_event_loop()
    ).execute_from_commandline()


class _Host:
    """The thread that reads, the one that folds, and what wakes it. Whatever fails here ends the process: it is started anew."""

    def __init__(
        self, config: ReaderConfig, start: Start, make: Callable[[GroupReader, threading.Event], Worker]
    ) -> None:
        self._config, self._start, self._make = config, start, make
        self._stopping = threading.Event()
        self._folding = ThreadPoolExecutor(1, thread_name_prefix="fold")
        self._woken = asyncio.Event()
        self._taken = asyncio.Event()
        self._arrived: list[Chunk] = []
        self._began = 0.0
        self.worker: Worker | None = None
        self._reader: GroupReader | None = None
        self._reading: threading.Thread | None = None

    def start(self, loop: asyncio.AbstractEventLoop, put: Callable[[list[Chunk]], Any]) -> None:
        self._loop = loop
        self._reader = GroupReader(self._config, self._start, put_into(put, loop))
        self.worker = self._make(self._reader, self._stopping)
        self._reading = threading.Thread(target=self._reader.run, name="read", daemon=True)
        self._reading.start()

    def heard(self, payload: str) -> None:
        """The core moved, or notices may have been missed."""
        if isinstance(self.worker, FollowingWorker) and self.worker.hear(payload):
            self._woken.set()

    async def offer(self, chunks: list[Chunk]) -> None:
        """Leave chunks for the next transaction; returns at once, or when there is room again."""
        self._arrived += chunks
        self._woken.set()
        while self._is_full() and not self._stopping.is_set():
            self._taken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._taken.wait()

    def _is_full(self) -> bool:
        records = sum(len(chunk.values) for chunk in self._arrived)
        return records >= self._config.records or sum(chunk.size for chunk in self._arrived) >= MOST_BYTES

    async def fold_what_waits(self) -> None:
        """Once something arrived, a position moved, or 250 ms went by: all that arrived since the last time, in one go."""
        with contextlib.suppress(TimeoutError):
            waiting = self.worker is not None and self.worker.is_waiting()
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
        """What arrives meanwhile is bounded as ever: the reader waits."""
        left = self._began + self._config.pace_s - self._loop.time()
        if left > 0 and not self._stopping.is_set():
            await asyncio.sleep(left)
        self._began = self._loop.time()

    async def call(self, method: Callable[..., None], *arguments: object) -> None:
        """Run a method of the worker in the folding thread."""
        if self.worker is None or self._stopping.is_set():
            return
        await self._loop.run_in_executor(self._folding, self._guarded, method, self.worker, *arguments)

    async def stop(self) -> None:
        """Bounded: what is not done by then is done by the next process, from the stored position."""
        self._stopping.set()
        if self._reader is not None and self._reading is not None:
            self._reader.stop()
            await self._loop.run_in_executor(None, self._reading.join, _STOP_S)
        self._folding.shutdown(wait=False, cancel_futures=True)

    def _guarded(self, method: Callable[..., None], worker: Worker, *arguments: object) -> None:
        try:
            getattr(worker, method.__name__)(*arguments)
        except BaseException as problem:
            if self._stopping.is_set():
                return
            if isinstance(problem, RefoldError):
                _log.error("%s: %s %s", problem.code, problem.message, problem.remedy)
            else:
                _log.exception("the worker of group %s failed", self._config.group)
            logging.shutdown()
            os._exit(REFUSED if isinstance(problem, LogRefused | NewerRules) else FAILED)
