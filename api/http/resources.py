"""The real things behind the routes: Postgres, Kafka, and the tasks that watch them. Starts without either."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager

from litestar import Litestar

from refold.api.http.application import application
from refold.api.http.asking_why import AskingWhy
from refold.api.http.changes.hub import Changes, ChangeSources
from refold.api.http.changes.routes import routes_of
from refold.api.http.commands.outcomes import Outcomes
from refold.api.http.commands.preparation import Preparation
from refold.api.http.commands.request import Intent
from refold.api.http.commands.services import CommandServices
from refold.api.http.describe.metrics import metrics_page
from refold.api.http.describe.registry import SchemaRegistry
from refold.api.http.describe.seen import Watch
from refold.api.http.describe.services import Check, OperationServices
from refold.api.http.doors.checks import checks_of
from refold.api.http.doors.door import Door
from refold.api.http.doors.openness import lets_everybody
from refold.api.http.doors.principal import require_sending
from refold.api.http.doors.rates import Rates
from refold.api.http.downloads.downloading import Downloads
from refold.api.http.readiness import Readiness
from refold.api.http.reads.planning.pieces import Piece
from refold.api.http.reads.positions import Positions
from refold.api.http.reads.served_now import ServedNow
from refold.api.http.reads.services import Keeping, ModelReads, ModelServices, StreamServices
from refold.api.http.wire.database import Database
from refold.api.http.wire.lookups import Lookups
from refold.api.http.wire.notices import Notices
from refold.api.unavailable import LogUnreadable, NotPrepared
from refold.projections.tables.declared import declared
from refold.projections.tables.serving import served_models
from refold.schemas.avro import Schema
from refold.schemas.plurals import counted
from refold.streams import journal
from refold.streams.domain import Domains
from refold.streams.errors import DeliveryFailed
from refold.streams.kafka.offsets import offset_at
from refold.streams.log.history import History, Recorded
from refold.streams.log.topics import events_topic, logged_schemas
from refold.streams.operation.lag import LagReader
from refold.streams.postgres.notices import POLL_S
from refold.streams.reactors.declared import reacted_categories
from refold.streams.sending.producer import Delivered, Producer
from refold.streams.settings import Settings

READERS = 2
READ_S = 10.0
_LINGER_MS = {"alone": 0.2, "together": 3.0, "batch": 10.0}
"""Milliseconds that the producer gathers. A single client waits for its command; many waiting ones and a batch's lines share requests, which saves the broker work."""
_MANY = 16
"""Commands waiting for outcomes from which on commands are gathered too, since each request makes all of them wait."""
_TABLES = (
    "SELECT FROM refold.topics, refold.outcomes, refold.streams, refold.positions, refold.builds, refold.parked LIMIT 0"
)
_log = logging.getLogger(__name__)


class Resources:
    """Opened once for each process."""

    def __init__(self, settings: Settings, domains: Domains, delivery_s: float = 30.0) -> None:
        """`delivery_s`: how long a command may wait for Kafka before it counts as not sent."""
        self.settings, self.domains = settings, domains
        self.database = Database(settings.dsn())
        self.downloads = Downloads(settings.dsn(), settings.download_s)
        self.notices = Notices(settings.dsn())
        self.lookups = Lookups(settings.dsn())
        self.outcomes = Outcomes(self.lookups.fetch, self.notices)
        self.preparation = Preparation(settings, domains)
        self._statements: dict[Hashable, Piece] = {}
        self.served = ServedNow(
            served_models(domains.names),
            declared(domains.names).all_fingerprints,
            self.database.fetch,
            self._statements,
        )
        self.why = AskingWhy(settings, domains)
        kafka, prefix = settings.kafka_servers(), settings.topic_prefix
        self._producers = {
            sent: Producer(kafka, prefix, domains, queue_records=10_000, timeout_s=delivery_s, linger_ms=linger_ms)
            for sent, linger_ms in _LINGER_MS.items()
        }
        self._lag = LagReader(settings, domains, reacted_categories(domains))
        self.watch = Watch(settings, domains, self._lag)
        self.readiness = Readiness(
            {"postgres": self._check_postgres, "kafka": self._check_kafka, "workers": self._check_workers}
        )
        found = declared(domains.names)
        self.changes = Changes(
            ChangeSources(kafka, settings.dsn(), prefix, self.database.snapshot, self.notices, domains.catalog, found)
        )
        self.keys = Lookups(settings.dsn())  # a connection of its own: slow reads must not delay that a key is revoked
        self._checks = checks_of(settings, self.keys.fetch)
        rates = None if settings.api_rate is None else Rates(settings.api_rate)
        self.door = Door(self._checks, rates, everybody=lets_everybody(settings))
        self._readers: asyncio.Queue[History] = asyncio.Queue()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Everything runs as long as the block."""
        settings = self.settings
        for _ in range(READERS):
            self._readers.put_nowait(History(settings.kafka_servers(), settings.topic_prefix, self.domains))
        parts = (
            self.database,
            self.lookups,
            self.keys,
            self.notices,
            self.outcomes,
            self.preparation,
            self.served,
            self.why,
            self.watch,
            self.readiness,
            self.changes,
        )
        for part in parts:
            await part.open()
        for check in self._checks:
            await check.open()
        try:
            yield
        finally:
            for check in self._checks:
                await check.close()
            for part in reversed(parts):
                await part.close()
            await asyncio.gather(*(asyncio.to_thread(_close, producer) for producer in self._producers.values()))

    def application(self) -> Litestar:
        """The application with these resources."""
        registry = SchemaRegistry(self._schemas, self.settings.topic_prefix)
        found = application(self.commands(), self.streams(), self.models(), self.operations(), registry, self.opened)
        found.register(routes_of(self.changes))
        return found

    def commands(self) -> CommandServices:
        """For commands and their outcomes."""
        return CommandServices(
            self.domains, self.outcomes, self._send, self._send_in_batch, self.settings.command_wait_s
        )

    def streams(self) -> StreamServices:
        """For the history of a stream."""
        prefix = self.settings.topic_prefix
        return StreamServices(self.domains, self.database.fetch, self._read, prefix, self._offset_at)

    def models(self) -> ModelServices:
        """For read models."""
        reads = ModelReads(
            self.database.fetch,
            self.lookups.fetch,
            self._moved,
            self._is_behind,
            self.database.fetch_in_zone,
            self._statements,
            downloads=self.downloads,
        )
        why = self.why.services(self._moved)
        keeping = Keeping(self.settings.api_kept_mb << 20, self.settings.api_kept_s)
        return ModelServices(self.domains, self.served, reads, self.settings.topic_prefix, why, keeping)

    def operations(self) -> OperationServices:
        """For probes and metrics."""
        return OperationServices(self._ready, self._metrics)

    def _send(self, intent: Intent, on_delivery: Delivered) -> None:
        sent = "together" if self.outcomes.waiters() >= _MANY else "alone"
        self._send_by(self._producers[sent], intent, on_delivery)

    def _send_in_batch(self, intent: Intent, on_delivery: Delivered) -> None:
        self._send_by(self._producers["batch"], intent, on_delivery)

    def _send_by(self, producer: Producer, intent: Intent, on_delivery: Delivered) -> None:
        self.preparation.check()
        require_sending(intent.category)  # it was asked when the command was read; nothing passes without
        producer.send(
            intent.command,
            command_id=intent.command_id,
            expected_version=intent.expected_version,
            occurred_at=intent.occurred_at,
            actor=intent.actor,
            correlation_id=intent.correlation_id,
            on_delivery=on_delivery,
        )

    async def _read(self, category: str, places: Sequence[tuple[int, int]]) -> list[Recorded]:
        try:
            async with asyncio.timeout(READ_S):
                reader = await self._readers.get()
                return await asyncio.shield(asyncio.ensure_future(self._read_with(reader, category, list(places))))
        except TimeoutError:
            raise LogUnreadable(
                f"{counted(len(places), 'events')} of {category} did not arrive within {READ_S:g} s"
            ) from None

    async def _read_with(self, reader: History, category: str, places: list[tuple[int, int]]) -> list[Recorded]:
        """Shielded from timeouts: a thread cannot be stopped, and its consumer is free only when it is done."""
        try:
            return await asyncio.to_thread(reader.read, category, places)
        finally:
            self._readers.put_nowait(reader)

    async def _offset_at(self, category: str, part: int, millis: int) -> int:
        place = (events_topic(self.settings.topic_prefix, category), part)
        return await asyncio.to_thread(offset_at, self.settings.kafka_servers(), place, millis)

    async def _moved(self, wanted: Positions, seconds: float) -> None:
        await self.notices.reach("models", self._full(wanted), min(seconds, POLL_S))

    def _is_behind(self, wanted: Positions) -> bool:
        return self.notices.is_behind("models", self._full(wanted))

    def _full(self, positions: Positions) -> Positions:
        """The same positions under the topics' full names."""
        prefix = self.settings.topic_prefix
        return {(f"{prefix}{topic}", part): offset for (topic, part), offset in positions.items()}

    def _schemas(self) -> dict[int, Schema]:
        return logged_schemas(self.settings)

    async def _ready(self) -> list[Check]:
        problem = self.preparation.problem
        found = {check.name: check for check in await self.readiness.checks()}
        if not found["postgres"].ok:
            del found["workers"]  # they are unknown then, and that is no second fault
        return [
            *found.values(),
            Check("prepared", problem is None, f"{problem.code}: {problem.message}" if problem else ""),
        ]

    async def _check_kafka(self) -> Check:
        await asyncio.to_thread(self._lag.ends)
        return Check("kafka", ok=True)

    async def _check_workers(self) -> Check:
        """Everything that stands still."""
        return self.watch.seen().check()

    async def _check_postgres(self) -> Check:
        """Ask in both ways that requests use, and read their tables: a role may connect and still be allowed no table.

        Look-ups go first: their error says why no connection comes about, the pool's only that none does.
        """
        with contextlib.suppress(NotPrepared):  # its own check tells
            await self.lookups.fetch(_TABLES)
        await self.database.fetch("SELECT 1")
        return Check("postgres", ok=True)

    def _metrics(self) -> bytes:
        return metrics_page([*self.watch.metrics(), *self.changes.metrics()])


def _close(producer: Producer) -> None:
    """Each sender of an unacknowledged command was told so already; the end of the process need not fail for it."""
    try:
        producer.close()
    except DeliveryFailed as problem:
        _log.warning("closed with %s", problem.message, extra=journal.about(problem))
