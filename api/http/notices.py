"""Who moved: one connection listens for every waiter of the process."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Mapping

import psycopg
from psycopg import sql

from refold.streams.postgres import channel, first_line

POLL_S = 0.25
"""A notice may be lost; nobody waits longer than this on account of it."""
_RETRY_S = 1.0
_GROUPS = ("core", "models")
_SETTLE_S = 0.02
_log = logging.getLogger(__name__)


class Notices:
    """Counts the commits of each group of readers and wakes those who wait for the next."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._task: asyncio.Task[None] | None = None
        self._next = asyncio.Event()
        self.counts: Counter[str] = Counter()
        self._reached: dict[tuple[str, str], int] = {}

    async def open(self) -> None:
        """Begin to listen; does not wait for the connection."""
        self._task = asyncio.create_task(self._listen_for_ever(), name="notices")

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def beyond(self, count: int, group: str, seconds: float = POLL_S) -> int:
        """The group's count once it is beyond `count`, or whatever it is after that many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.counts[group] <= count:
                    await self._next.wait()
        return self.counts[group]

    async def reach(self, group: str, wanted: Mapping[str, int], seconds: float = POLL_S) -> None:
        """Return once the group has told of all these positions (`topic/part`), or after that many seconds."""
        if self._has_reached(group, wanted):
            # Told but not seen in the table: a notice overtook the query, or the database was restored.
            await asyncio.sleep(min(_SETTLE_S, seconds))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._has_reached(group, wanted):
                    await self._next.wait()

    def _has_reached(self, group: str, wanted: Mapping[str, int]) -> bool:
        return all(self._reached.get((group, place), 0) >= offset for place, offset in wanted.items())

    def told(self, payload: str) -> None:
        """Take a notice, `group/topic/part:next_offset`."""
        group, _, rest = payload.partition("/")
        place, _, offset = rest.rpartition(":")
        self.counts[group] += 1
        if offset.isdigit():
            self._reached[group, place] = int(offset)
        self._next.set()
        self._next = asyncio.Event()

    async def _listen_for_ever(self) -> None:
        away = False
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._url,
                    autocommit=True,
                    application_name="refold-api-listen",
                    connect_timeout=5,
                    keepalives_idle=5,
                ) as connection:
                    for group in _GROUPS:
                        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel(group))))
                    away = False
                    async for notice in connection.notifies():
                        self.told(notice.payload)
            except psycopg.Error as problem:
                if not away:
                    _log.warning("Postgres is away, waiting for it: %s", first_line(problem))
                away = True
            await asyncio.sleep(_RETRY_S)
