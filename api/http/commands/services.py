"""The outside world as the routes of commands need it, and no wider."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from refold.api.http.commands.outcomes import Outcome
from refold.api.http.commands.request import Intent
from refold.streams.domain import Domains
from refold.streams.sending.producer import Delivered

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
        """The known outcomes of these keys, by one query."""
        ...

    def commits(self) -> int:
        """Known number of the core's commits."""
        ...

    async def committed(self, since: int) -> None:
        """Return once the core has committed again, or after a short time."""
        ...


Send = Callable[[Intent, Delivered], None]
"""Appends without waiting. Raises QueueFull; the report comes from another thread."""


@dataclass(frozen=True)
class CommandServices:
    """Services for commands and their outcomes. `send` sends a single command to Kafka, `send_in_batch` one of a batch."""

    domains: Domains
    outcomes: OutcomeTable
    send: Send
    send_in_batch: Send
    default_wait: float
    batches: asyncio.Semaphore = field(default_factory=partial(asyncio.Semaphore, MAX_BATCHES))
