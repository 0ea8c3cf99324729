"""One command on its way: Kafka's acknowledgement and the core's outcome, in whichever order they arrive."""

import asyncio
from typing import Any

from refold.api.unavailable import AppendUnknown
from refold.streams.errors import DeliveryFailed


class Sending:
    """The state of a command that the producer has. Made and waited for in one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Future[None] = self._loop.create_future()
        self._acked, self._wants_ack = False, False
        self._problem: DeliveryFailed | None = None

    def delivered(self, problem: DeliveryFailed | None) -> None:
        """Take Kafka's report; called in the producer's thread. Usually the request waits for the outcome: then the report wakes nobody."""
        self._problem, self._acked = problem, problem is None
        if problem is not None or self._wants_ack:
            self._loop.call_soon_threadsafe(self._wake)

    async def decided(self, expected: "asyncio.Future[Any]", seconds: float) -> None:
        """Return once the outcome is there, Kafka has refused the command, or the time has run out."""
        expected.add_done_callback(self._wake)
        try:
            await self._told(seconds)
        finally:
            expected.remove_done_callback(self._wake)

    async def acknowledged(self, seconds: float) -> None:
        """Return once Kafka has the command. Raises DeliveryFailed, or AppendUnknown if Kafka reports nothing."""
        self._wants_ack = True  # before the check: one of the two threads sees the other
        if not self._acked and self._problem is None:
            await self._told(seconds)
        if self._problem is not None:
            raise self._problem
        if not self._acked:
            raise AppendUnknown("Kafka has not acknowledged the command yet")

    async def _told(self, seconds: float) -> None:
        if self._news.done():
            self._news = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._wake)
        try:
            await self._news
        finally:
            timer.cancel()

    def _wake(self, _: object = None) -> None:
        if not self._news.done():
            self._news.set_result(None)
