"""What the routes need of the world, as narrow as they need it. `resources.py` has the real ones, tests have fakes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from refold.api.http.command_request import Intent
from refold.api.http.database import Parameters, Row, Statement
from refold.api.http.outcomes import Outcome
from refold.api.http.positions import Positions
from refold.projections.serving import ServedModel
from refold.streams.domain import Domains
from refold.streams.history import Recorded
from refold.streams.producer import Delivered

MAX_BATCHES = 8
"""Batches under way at once; each may have some thousands of commands in flight."""


class OutcomeTable(Protocol):
    """Outcomes of commands, by key."""

    async def find(self, key: bytes) -> Outcome | None:
        """The outcome, or None while it is pending."""
        ...

    def expected(self, key: bytes) -> AbstractContextManager["asyncio.Future[Outcome]"]:
        """A future of the outcome while the block lasts."""
        ...

    async def find_all(self, keys: list[bytes]) -> list[Outcome]:
        """The outcomes there are, by one query."""
        ...

    def commits(self) -> int:
        """How often the core has committed, as far as is known."""
        ...

    async def committed(self, since: int) -> None:
        """Return once the core has committed again, or soon anyway."""
        ...


Queue = Callable[[Intent, Delivered], None]
"""Appends without waiting. Raises QueueFull; the report comes from another thread."""
Fetch = Callable[[Statement, Parameters], Awaitable[list[Row]]]
LookUp = Callable[[bytes, Sequence[object]], Awaitable[list[Row]]]
"""A statement that finds its rows by their key."""
ReadEvents = Callable[[str, Sequence[tuple[int, int]]], Awaitable[list[Recorded]]]
Moved = Callable[[Positions, float], Awaitable[None]]


@dataclass(frozen=True)
class CommandServices:
    """For commands and their outcomes. `append`: a command of its own, `queue`: one of a batch."""

    domains: Domains
    outcomes: OutcomeTable
    append: Queue
    queue: Queue
    default_wait: float
    batches: asyncio.Semaphore = field(default_factory=partial(asyncio.Semaphore, MAX_BATCHES))


@dataclass(frozen=True)
class StreamServices:
    """For the history of one stream: `read` gives the events at (partition, offset) of a category."""

    domains: Domains
    fetch: Fetch
    read: ReadEvents
    topic_prefix: str


@dataclass(frozen=True)
class ModelReads:
    """How read models are read: pages of rows, single rows by their key, and what is known of the group's positions.

    `moved` returns once they may have reached positions, or after so many seconds; `is_behind`: it has told that they have not.
    """

    fetch: Fetch
    look_up: LookUp
    moved: Moved
    is_behind: Callable[[Positions], bool]
    by_key: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """The statements of single rows, each composed once."""


@dataclass(frozen=True)
class ModelServices:
    """For read models."""

    domains: Domains
    models: Mapping[tuple[str, str], ServedModel]
    reads: ModelReads
    topic_prefix: str


@dataclass(frozen=True)
class Check:
    """Whether something that this process needs is there."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True)
class OperationServices:
    """For probes and metrics."""

    ready: Callable[[], Awaitable[list[Check]]]
    metrics: Callable[[], bytes]
