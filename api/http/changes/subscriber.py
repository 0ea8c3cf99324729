"""One client's stream: what waits to be sent to it, in bounded memory, and when it ends."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from refold.api.http.changes import events, metrics

HEARTBEAT_S = 15.0
"""Seconds of silence after which a client gets a line that means nothing, so that nobody between ends the connection."""
MOST_WAITING = 1 << 20
"""Bytes that wait for a client from which on it gets no further batch, but is sent away."""
SLOW = "slow-client"


class Subscriber:
    """A queue of whole batches. Invariant: a batch is sent whole, and its id comes last."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.ended: str | None = None
        self.has_left = False
        self._waiting: deque[bytes] = deque([events.BEGINNING])
        self._size = 0
        self._more = asyncio.Event()
        self._more.set()
        self._place = self._told = ""

    def put(self, batch: bytes, place: str) -> None:
        """Send a batch that ends at this place. A client that is too slow for it is sent away instead."""
        if self.ended is not None:
            return
        if self._size >= MOST_WAITING:
            self._waiting.clear()
            self.end(SLOW, "this client takes the changes more slowly than they come; it goes on where it is")
            return
        self._place = self._told = place
        self._push(batch)

    def note(self, place: str) -> None:
        """Nothing that the client sees has changed up to this place; it is told with the next heartbeat."""
        self._place = place

    def end(self, code: str, message: str) -> None:
        """Send what waits, then the reason, and end the stream; the client connects again by itself."""
        if self.ended is None:
            self.ended = code
            metrics.ENDED.labels(self.model, code).inc()
            self._push(events.end(code, message))

    def leave(self) -> None:
        """The client has gone."""
        self.ended, self.has_left = self.ended or "left", True
        self._waiting.clear()
        self._more.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Everything to send, until the stream ends."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._more.wait()
            except TimeoutError:
                yield self._heartbeat()
                continue
            self._more.clear()
            while self._waiting:
                piece = self._waiting.popleft()
                self._size -= len(piece)
                yield piece
            if self.ended is not None and not self._waiting:
                return

    def _push(self, piece: bytes) -> None:
        self._waiting.append(piece)
        self._size = sum(map(len, self._waiting))
        self._more.set()

    def _heartbeat(self) -> bytes:
        if self._place == self._told:
            return events.HEARTBEAT
        self._told = self._place
        return events.moved(self._place)
