"""Outcomes of commands: looked up by key, and waited for, all waiters by one query for each wake-up."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from refold.api.errors import CommandIdReused, CommandUnreadable, TooManyWaiting
from refold.api.http.wire.database import Row
from refold.api.http.wire.notices import Notices
from refold.api.http.wire.tasks import ended
from refold.schemas.errors import RefoldError
from refold.schemas.identity import event_uuid
from refold.streams.journal import about

MAX_WAITERS = 2000
RETRY_S = 1.0
_CORE = "core"
_COLUMNS = "key, category, stream, command_id, body_hash, code, message, base_version, events, part, next_offset"
FIND = f"SELECT {_COLUMNS} FROM refold.outcomes WHERE key = ANY(%s::bytea[])"
_log = logging.getLogger(__name__)

Fetch = Callable[[str, Sequence[object]], Awaitable[list[Row]]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a command: accepted with `events` events, or rejected with a code."""

    key: bytes
    category: str
    stream: str
    command_id: UUID
    body_hash: bytes
    code: str | None
    message: str | None
    base_version: int
    events: int
    part: int
    next_offset: int

    def checked(self, body_hash: bytes) -> Self:
        """This outcome. Raises CommandIdReused if it belongs to another body; for a command that was unreadable nobody can tell."""
        if self.body_hash != body_hash and self.code != CommandUnreadable.code:
            raise CommandIdReused(f"{self.command_id} was another command of {self.stream} before")
        return self

    @property
    def accepted(self) -> bool:
        """Whether the domain accepted it."""
        return self.code is None

    @property
    def version(self) -> int:
        """Version of the stream once the command was decided."""
        return self.base_version + self.events

    @property
    def position(self) -> str:
        """The token of a position at which the outcome has taken effect."""
        return f"{self.category}.events/{self.part}:{self.next_offset}"

    @property
    def event_ids(self) -> list[UUID]:
        """Ids of its events, as every retry would make them."""
        return [event_uuid(self.category, self.stream, self.command_id, index) for index in range(self.events)]


class _AskedTogether:
    """Look-ups of single keys. Requests that arrive during a query are all answered by the next one."""

    def __init__(self, find_all: Callable[[list[bytes]], Awaitable[list[Outcome]]]) -> None:
        self._find_all = find_all
        self._asked: list[tuple[bytes, asyncio.Future[Outcome | None]]] = []
        self._task: asyncio.Task[None] | None = None

    def ask(self, key: bytes) -> "asyncio.Future[Outcome | None]":
        """A future of the outcome at this moment or later."""
        answer: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self._asked.append((key, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._ask_until_none_asks(), name="look-ups")
        return answer

    async def _ask_until_none_asks(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            try:
                found = {outcome.key: outcome for outcome in await self._find_all(list({key for key, _ in asked}))}
            except Exception as problem:
                for _, answer in asked:
                    if not answer.done():
                        answer.set_exception(problem)
            else:
                for key, answer in asked:
                    if not answer.done():
                        answer.set_result(found.get(key))


class Outcomes:
    """The core's answers. After each commit of the core one task asks for all waiting commands."""

    def __init__(self, fetch: Fetch, notices: Notices) -> None:
        self._fetch, self._notices = fetch, notices
        self._single = _AskedTogether(self.find_all)
        self._waiting: dict[bytes, tuple[asyncio.Future[Outcome], int]] = {}
        self._waiters = 0
        self._someone = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to answer waiters."""
        self._task = asyncio.create_task(self._answer_for_ever(), name="outcomes")

    async def close(self) -> None:
        """Stop; those who still wait get nothing."""
        await ended(self._task)

    async def find(self, key: bytes) -> Outcome | None:
        """The outcome, or None while the command is pending."""
        return await self._single.ask(key)

    async def find_all(self, keys: list[bytes]) -> list[Outcome]:
        """The known outcomes of these keys, by one query."""
        return [Outcome(*row) for row in await self._fetch(FIND, (keys,))]

    def waiters(self) -> int:
        """Number of commands that wait for an outcome."""
        return self._waiters

    def commits(self) -> int:
        """Number of commits of which the core has told."""
        return self._notices.counts[_CORE]

    async def committed(self, since: int) -> None:
        """Return once the core has committed again, or after a quarter of a second: a notice may be lost."""
        await self._notices.beyond(since, _CORE)

    @contextlib.contextmanager
    def expected(self, key: bytes) -> Iterator[asyncio.Future[Outcome]]:
        """A future of the outcome, shared by all who ask for the key. Raises TooManyWaiting."""
        if self._waiters >= MAX_WAITERS:
            raise TooManyWaiting(f"{MAX_WAITERS} requests wait for an outcome already")
        future, others = self._waiting.get(key) or (asyncio.get_running_loop().create_future(), 0)
        self._waiting[key] = future, others + 1
        self._waiters += 1
        self._someone.set()
        try:
            yield future
        finally:
            self._waiters -= 1
            future, left = self._waiting.pop(key)
            if left > 1:
                self._waiting[key] = future, left - 1

    async def _answer_for_ever(self) -> None:
        count = 0
        while True:
            await self._someone.wait()
            count = await self._notices.beyond(count, _CORE)
            try:
                await self._answer_all()
            except RefoldError as problem:
                _log.debug("outcomes wait: %s", problem.message, extra=about(problem, repeats=True))
                await asyncio.sleep(RETRY_S)
            except Exception:
                _log.exception("outcomes could not be read")
                await asyncio.sleep(RETRY_S)

    async def _answer_all(self) -> None:
        if not self._waiting:
            self._someone.clear()
            return
        for outcome in await self.find_all([key for key, (future, _) in self._waiting.items() if not future.done()]):
            future, _ = self._waiting.get(outcome.key, (None, 0))
            if future is not None and not future.done():
                future.set_result(outcome)
