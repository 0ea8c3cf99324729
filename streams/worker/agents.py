"""Runs a worker as a Faust app: an agent takes chunks from a channel, with timers, supervision and a clean stop.

This is all that Refold uses of Faust. Its boot strategy switches off Faust's own Kafka consumer and producer: chunks
come from the librdkafka thread of `group_reader`, and positions live in Postgres. So no idle second consumer sits in
a group, and Faust's acknowledgements decide nothing.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import faust
import mode
from faust.app.base import BootStrategy

from refold.streams.chunk import Chunk, Place
from refold.streams.garbage import leave_alone_what_stays
from refold.streams.guard.wiring import process_guard
from refold.streams.operation.members import group_name
from refold.streams.postgres.connection import answering, connect_patiently
from refold.streams.postgres.notices import listen
from refold.streams.postgres.positions import stored
from refold.streams.postgres.restoring import stand_aside
from refold.streams.settings import Settings
from refold.streams.stuck import StuckWatch
from refold.streams.worker.fold_worker import FoldWorker, FollowingWorker
from refold.streams.worker.group_consumer import ReaderConfig
from refold.streams.worker.group_reader import GroupReader, Put, Start
from refold.streams.worker.guarded_fold import GuardedFold
from refold.streams.worker.intake import Intake
from refold.streams.worker.lane import Lane, Share, Worker, lane_of
from refold.streams.worker.ports import ChunkFold
from refold.streams.worker.taking_part import HERE

_CORE = "core"
_CHANNEL_CHUNKS = 4
_CHECK_S = 1.0
_STOP_S = 4.0
_SWITCH_S = 0.0005
"""Python's switch interval in seconds. Three threads hand each record on: at the usual 5 ms each could wait so long."""


Workers = Callable[[GroupReader, threading.Event], Sequence[Worker]]
"""Makes the workers, one for each lane."""


@dataclass(frozen=True)
class FoldKind:
    """Settings by which a fold is driven.

    `keys`: chunks carry the records' keys. `follows`: the fold goes no further than the core. `pace_s`: least seconds
    between two transactions while little arrives. `whole`: most records that can only be folded together.
    """

    keys: bool = False
    follows: bool = False
    pace_s: float = 0.0
    whole: int = 1


def _put_into(channel_put: Callable[[list[Chunk]], "asyncio.Future[None]"], loop: asyncio.AbstractEventLoop) -> Put:
    """A `Put` that hands chunks to a coroutine in another thread's event loop."""

    async def put(chunks: list[Chunk]) -> None:
        await channel_put(chunks)

    return lambda chunks: asyncio.run_coroutine_threadsafe(put(chunks), loop)


class _NoKafka(BootStrategy):
    enable_kafka = False
    enable_web = False


class _App(faust.App):
    BootStrategy = _NoKafka

    def _create_directories(self) -> None:
        """Faust keeps no tables here, so it needs no folders: a worker starts on a full disk, too."""


def run_fold(settings: Settings, folds: Sequence[ChunkFold], kind: FoldKind = FoldKind()) -> None:
    """Run a fold until SIGTERM or SIGINT. Several folds of one group share the partitions, each in its own thread."""
    group, topics = folds[0].group, folds[0].topics
    guarded = [GuardedFold(fold, process_guard(settings, group, kind.whole)) for fold in folds]

    def start(places: list[Place]) -> dict[Place, int | None]:
        with answering(), connect_patiently(settings.dsn(), application_name=f"{group}-start") as db:
            stand_aside(db, patient=True)
            return dict(stored(db, group, places))

    def workers(reader: GroupReader, stopping: threading.Event) -> list[Worker]:
        shares = [Share(reader, number, len(folds)) for number in range(len(folds))]
        worker = FollowingWorker if kind.follows else FoldWorker
        most = 4 * settings.chunk_records
        return [worker(Intake(fold, share, most, stopping), fold) for fold, share in zip(guarded, shares, strict=True)]

    name = group_name(settings, group)
    config = ReaderConfig(
        settings.kafka_servers(), name, topics, settings.chunk_records, keys=kind.keys, pace_s=kind.pace_s
    )
    run_agent(settings, group, config, start, workers)


def run_agent(settings: Settings, role: str, config: ReaderConfig, start: Start, make: Workers) -> None:
    """Run one Faust app with one agent over chunks until SIGTERM or SIGINT."""
    sys.setswitchinterval(_SWITCH_S)
    StuckWatch(settings.stuck_cpu_s)
    app = _App(config.group, broker="kafka://unused", web_enabled=False)
    channel = app.channel(maxsize=_CHANNEL_CHUNKS)
    host = _Host(role, config, start, make)

    @app.service
    class _Threads(faust.Service):
        async def on_start(self) -> None:
            app.flow_control.resume()
            leave_alone_what_stays()
            host.start(asyncio.get_running_loop(), channel.put)

        @faust.Service.timer(_CHECK_S)
        async def _turning(self) -> None:
            HERE.turns()

        @faust.Service.task
        async def _listening(self) -> None:
            if any(lane.follows for lane in host.lanes):
                await listen(settings.dsn(), [_CORE], host.heard, config.group)

        @faust.Service.task
        async def _folding(self) -> None:
            await asyncio.gather(*(lane.fold_for_ever() for lane in host.lanes))

        @faust.Service.timer(_CHECK_S)
        async def _checking(self) -> None:
            await asyncio.gather(*(lane.call(Worker.check) for lane in host.lanes))

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
    """The thread that reads, and the lanes that fold."""

    def __init__(self, role: str, config: ReaderConfig, start: Start, make: Workers) -> None:
        self._role = role
        self._config, self._start, self._make = config, start, make
        self._stopping = threading.Event()
        self._reader: GroupReader | None = None
        self._reading: threading.Thread | None = None
        self.lanes: list[Lane] = []

    def start(self, loop: asyncio.AbstractEventLoop, put: Callable[[list[Chunk]], Any]) -> None:
        self._reader = GroupReader(self._config, self._start, _put_into(put, loop))
        workers = self._make(self._reader, self._stopping)
        HERE.begins(self._role, self._reader, workers)
        self.lanes = [Lane(self._config, worker, self._stopping) for worker in workers]
        self._reading = threading.Thread(target=self._reader.run, name="read", daemon=True)
        self._reading.start()

    def heard(self, payload: str) -> None:
        """The core moved, or notices may have been missed."""
        for lane in self.lanes:
            lane.heard(payload)

    async def offer(self, chunks: list[Chunk]) -> None:
        """Leave chunks for the lanes' next transactions; return once every lane has room."""
        for number, lane in enumerate(self.lanes):
            ours = [chunk for chunk in chunks if lane_of(chunk.place, len(self.lanes)) == number]
            if ours:
                lane.offer(ours)
        self._hold_back(held=True)
        for lane in self.lanes:
            await lane.has_room()
        self._hold_back(held=False)

    def _hold_back(self, *, held: bool) -> None:
        """While a full lane keeps the others waiting for chunks, they must not take those chunks for lost."""
        if self._reader is not None:
            self._reader.hold_back(held=held)

    async def stop(self) -> None:
        """Stop within bounded time. The next process does what is left, from the stored position."""
        HERE.stops()
        self._stopping.set()
        if self._reader is not None and self._reading is not None:
            self._reader.stop()
            await asyncio.get_running_loop().run_in_executor(None, self._reading.join, _STOP_S)
        for lane in self.lanes:
            lane.stop()
