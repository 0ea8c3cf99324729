"""Notices of commits: one connection listens for every waiter of the process."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping

from refold.api.http.wire.tasks import ended
from refold.streams.chunk import Place
from refold.streams.postgres.notices import GAP, POLL_S, listen, read_notice

_GROUPS = ("core", "models")
_SETTLE_S = 0.02


class Notices:
    """Counts the commits of each group of readers and wakes those who wait for the next."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._task: asyncio.Task[None] | None = None
        self._next = {group: asyncio.Event() for group in _GROUPS}
        self.counts: Counter[str] = Counter()
        self._reached: dict[tuple[str, Place], int] = {}

    async def open(self) -> None:
        """Begin to listen; does not wait for the connection."""
        self._task = asyncio.create_task(listen(self._url, _GROUPS, self.told, "api"), name="notices")

    async def close(self) -> None:
        """Stop listening."""
        await ended(self._task)

    async def beyond(self, count: int, group: str, seconds: float = POLL_S) -> int:
        """The group's count once it is beyond `count`, or its value after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.counts[group] <= count:
                    await self._next[group].wait()
        return self.counts[group]

    def told_of(self, group: str, place: Place) -> int | None:
        """The position of the place that the group's last notice named; None if there was none, or some were missed."""
        return self._reached.get((group, place))

    def is_behind(self, group: str, wanted: Mapping[Place, int]) -> bool:
        """Whether the group's notices say that it has not reached all these positions."""
        return any(self._reached.get((group, place), offset) < offset for place, offset in wanted.items())

    async def reach(self, group: str, wanted: Mapping[Place, int], seconds: float = POLL_S) -> None:
        """Return once the group's notices have reached all these positions, or after `seconds`."""
        if self._has_reached(group, wanted):
            # The notices say reached and the table does not: a notice overtook the query, or the database was restored.
            await asyncio.sleep(min(_SETTLE_S, seconds))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._has_reached(group, wanted):
                    await self._next[group].wait()

    def _has_reached(self, group: str, wanted: Mapping[Place, int]) -> bool:
        return all(self._reached.get((group, place), 0) >= offset for place, offset in wanted.items())

    def told(self, payload: str) -> None:
        """Take a notice, `group/topic/part:next_offset`; after GAP some may have been missed, so every waiter looks."""
        if payload == GAP:
            self._reached.clear()
            for group in _GROUPS:
                self._wake(group)
        else:
            group, place, offset = read_notice(payload)
            self._reached[group, place] = offset
            self._wake(group)

    def _wake(self, group: str) -> None:
        self.counts[group] += 1
        self._next[group].set()
        self._next[group] = asyncio.Event()
