"""How the server stops: not ready first, so that balancers send elsewhere; then it hears no more; what is in flight finishes.

Nobody is reset on the way: who is connected is told `Connection: close` with an answer, who is still in the listener's queue is answered, and what takes
longer than a stop waits gets an answer that says so.
"""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import uvicorn
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.server import ServerState

from refold.api.http.describe.services import Check
from refold.api.http.wire.answer import Answer
from refold.api.http.wire.problems import problem
from refold.api.http.wire.unlistening import take_no_new
from refold.api.stop_times import IN_FLIGHT_S
from refold.api.unavailable import Stopping

_LOOK_S = 0.05
_CUT_S = 1.0
_QUEUE_S = 0.1
"""In which the listener's queue is taken; a handshake that has begun ends within it, unless its client is far away."""
_STOPPING = {"ok": False, "checks": [Check("process", ok=False, detail="this process is stopping")]}


class DrainingState(ServerState):
    """What its connections know of the server."""

    draining = False
    """Each answer is then the last of its connection."""


class DrainingServer(uvicorn.Server):
    """A server that goes on to answer for a while after it was told to stop, over connections that it closes one by one."""

    def __init__(self, config: uvicorn.Config, drain_s: float) -> None:
        super().__init__(config)
        self.server_state: DrainingState = DrainingState()
        self._drain_s = drain_s

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A process that stops as it was told ends in peace: what follows the server is done, and the exit code is 0."""
        with super().capture_signals():
            try:
                yield
            finally:
                self._captured_signals = [number for number in self._captured_signals if number != signal.SIGTERM]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then stop as ever; a second interrupt ends the draining."""
        self.server_state.draining = True
        until = asyncio.get_running_loop().time() + self._drain_s
        while not self.force_exit and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 - a signal's handler sets it
            await asyncio.sleep(_LOOK_S)
        take_no_new(listener.fileno() for one in self.servers for listener in one.sockets)
        await asyncio.sleep(_QUEUE_S)
        await super().shutdown(sockets)
        if self.server_state.tasks:  # cut off just now: each answers that
            await asyncio.wait(self.server_state.tasks, timeout=_CUT_S)

    async def unready(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, but for /readyz of a process that is stopping, and for what is cut off by the stop."""
        if self.server_state.draining and scope["type"] == ScopeType.HTTP and scope["path"] == "/readyz":
            stopping = Answer(msgspec.json.encode(_STOPPING), status_code=503, media_type="application/json")
            await stopping.to_asgi_response()(scope, receive, send)
            return
        begun = False

        async def noticed(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await app(scope, receive, noticed)
        except asyncio.CancelledError:
            if begun or not self.server_state.draining:
                raise
            cut = Stopping(f"the process stops, and the request took more than {IN_FLIGHT_S} s longer")
            await problem(cut, headers={"Connection": "close"}).to_asgi_response()(scope, receive, send)
