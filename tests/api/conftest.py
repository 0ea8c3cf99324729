"""The application over fakes, without Kafka and Postgres; each test sets the answers of both."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from refold.api.cli.stack import Stack
from refold.api.http.application import application
from refold.api.http.commands.outcomes import Outcome
from refold.api.http.commands.request import Intent
from refold.api.http.commands.services import CommandServices
from refold.api.http.describe.registry import SchemaRegistry
from refold.api.http.describe.services import Check, OperationServices
from refold.api.http.reads.positions import Positions, TopicPart
from refold.api.http.reads.services import Keeping, ModelReads, ModelServices, StreamServices, WhyServices
from refold.api.http.wire.database import Parameters, Row, Statement
from refold.projections.explaining.explainer import Asked, Explanation
from refold.projections.tables.declared import declared
from refold.projections.tables.serving import ServedColumn, ServedModel
from refold.schemas.errors import RefoldError
from refold.streams.domain import Domains, load_domains
from refold.streams.errors import DeliveryFailed, KafkaUnavailable, QueueFull
from refold.streams.log.history import Recorded
from refold.streams.sending.producer import Delivered
from tests.conftest import settings_for

STORE_DAILY = ServedModel(
    "retail",
    "store_daily",
    "One row for each store and day.",
    (
        ServedColumn("store_id", "integer", nullable=False, doc="Number of the store."),
        ServedColumn("day", "date", nullable=False, doc="Day (UTC)."),
        ServedColumn("revenue", "numeric(38,2)", nullable=False, doc="Amount."),
        ServedColumn("last_at", "timestamptz", nullable=True, doc="When it was last."),
        ServedColumn("note", "text", nullable=True, doc="A note."),
        ServedColumn("open", "boolean", nullable=False, doc="Whether it is open."),
    ),
    ("store_id", "day"),
    ("retail.basket",),
)
NOTHING = Keeping()


@dataclass
class World:
    """What the fakes hold, and what was asked of them."""

    outcomes: dict[bytes, Outcome] = field(default_factory=dict)
    appended: list[Intent] = field(default_factory=list)
    fetched: list[tuple[Any, Any]] = field(default_factory=list)
    pages: list[list[Row]] = field(default_factory=list)
    expected_keys: list[bytes] = field(default_factory=list)
    read_places: list[tuple[str, list[tuple[int, int]]]] = field(default_factory=list)
    events: list[Recorded] = field(default_factory=list)
    asked_at: list[tuple[str, int, int]] = field(default_factory=list)
    offset: int = 0
    asked_why: list[Asked] = field(default_factory=list)
    explain_now: Callable[[Asked], Awaitable[Explanation]] | None = None
    why_error: RefoldError = field(default_factory=lambda: KafkaUnavailable("none here"))
    append_error: RefoldError | None = None
    wanted: list[dict[TopicPart, int]] = field(default_factory=list)
    fetch_error: RefoldError | None = None
    decides: bool = True
    acknowledges: bool = True
    schemas: dict[int, Any] = field(default_factory=dict)
    found_all: list[list[bytes]] = field(default_factory=list)
    rejects: str | None = None
    checks: list[Check] = field(default_factory=lambda: [Check("kafka", ok=True)])

    async def find(self, key: bytes) -> Outcome | None:
        return self.outcomes.get(key)

    @contextmanager
    def expected(self, key: bytes) -> Iterator["asyncio.Future[Outcome]"]:
        self.expected_keys.append(key)
        self.future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        yield self.future

    def append(self, intent: Intent, on_delivery: Delivered) -> None:
        if isinstance(self.append_error, DeliveryFailed):
            on_delivery(self.append_error)
            return
        if self.append_error is not None:
            raise self.append_error
        self.appended.append(intent)
        if self.acknowledges:
            on_delivery(None)
        if self.decides:
            outcome = self.outcomes[intent.outcome_key] = self.outcome(intent)
            if hasattr(self, "future"):
                self.future.set_result(outcome)

    async def find_all(self, keys: list[bytes]) -> list[Outcome]:
        self.found_all.append(keys)
        if self.fetch_error is not None:
            raise self.fetch_error
        return [self.outcomes[key] for key in keys if key in self.outcomes]

    def commits(self) -> int:
        return 0

    async def committed(self, _: int) -> None:
        await asyncio.sleep(0.01)

    def queue(self, intent: Intent, on_delivery: Delivered) -> None:
        if isinstance(self.append_error, QueueFull):
            error, self.append_error = self.append_error, None
            raise error
        if self.append_error is not None:
            on_delivery(DeliveryFailed(self.append_error.message))
            return
        self.appended.append(intent)
        if self.decides and intent.outcome_key not in self.outcomes:
            self.outcomes[intent.outcome_key] = self.outcome(intent)
        if self.acknowledges:
            on_delivery(None)

    def outcome(self, intent: Intent) -> Outcome:
        events = 0 if self.rejects else 1
        base = intent.expected_version or 0
        return Outcome(
            intent.outcome_key, intent.category, intent.stream, intent.command_id, intent.body_hash,
            self.rejects, "because" if self.rejects else None, base, events, 2, 41,
        )  # fmt: skip

    async def look_up(self, statement: bytes, parameters: Sequence[object]) -> list[Row]:
        return await self.fetch(statement.decode(), parameters)

    async def fetch(self, statement: Statement, parameters: Parameters) -> list[Row]:
        self.fetched.append((statement, parameters))
        if self.fetch_error is not None:
            raise self.fetch_error
        return self.pages.pop(0) if len(self.pages) > 1 else self.pages[0] if self.pages else []

    async def in_zone(self, statement: Statement, parameters: Parameters, zone: str) -> list[Row]:
        return await self.fetch(statement, [*parameters, zone])

    async def read(self, category: str, places: Sequence[tuple[int, int]]) -> list[Recorded]:
        self.read_places.append((category, list(places)))
        return self.events

    async def offset_at(self, category: str, part: int, millis: int) -> int:
        self.asked_at.append((category, part, millis))
        return self.offset

    async def explain(self, asked: Asked) -> Explanation:
        self.asked_why.append(asked)
        if self.explain_now is not None:
            return await self.explain_now(asked)
        raise self.why_error

    async def moved(self, wanted: Positions, seconds: float) -> None:
        self.wanted.append(dict(wanted))
        await asyncio.sleep(min(seconds, 0.01))

    async def ready(self) -> list[Check]:
        return self.checks


@pytest.fixture(scope="session")
def domains() -> Domains:
    return load_domains(["retail"])


@pytest.fixture
def model() -> ServedModel:
    return STORE_DAILY


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def app(world: World, domains: Domains, model: ServedModel) -> Litestar:
    return over(world, domains, model)


def over(world: World, domains: Domains, model: ServedModel, keeping: Keeping = NOTHING) -> Litestar:
    """The application over fakes; `keeping`: how many answers to reads it keeps."""
    return application(
        CommandServices(domains, world, world.append, world.queue, 0.2),
        StreamServices(domains, world.fetch, world.read, "", world.offset_at),
        ModelServices(
            domains,
            {("retail", "store_daily"): model},
            ModelReads(world.fetch, world.look_up, world.moved, lambda _: False, world.in_zone),
            "",
            WhyServices(declared(domains.names), world.explain),
            keeping,
        ),
        OperationServices(world.ready, lambda: b"refold_up 1\n"),
        SchemaRegistry(lambda: world.schemas, "p."),
    )


@pytest.fixture
def client(app: Litestar) -> Iterator[TestClient[Litestar]]:
    with TestClient(app) as found:
        yield found


@pytest.fixture(scope="module")
def stack(kafka: str, module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Workers and API as processes, on topics and a database of the file's own."""
    settings = settings_for(kafka, module_database, tmp_path_factory.mktemp("stack"))
    with Stack(settings, lambda _: None) as running:
        running.wait_until_ready()
        yield running
