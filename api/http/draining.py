"""Stops the server: first it is not ready, so that balancers send elsewhere; then it stops listening; then requests in flight finish.

No client is reset: a connected client gets its answer with `Connection: close`, a client in the listener's queue is still answered, and
a request that outlasts the stop gets an answer that says so.
"""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import uvicorn
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from refold.api.http.describe.services import Check
from refold.api.http.wire.answer import Answer, Noticing
from refold.api.http.wire.problems import problem
from refold.api.http.wire.unlistening import take_no_new
from refold.api.stop_times import IN_FLIGHT_S
from refold.api.unavailable import Stopping

_LOOK_S = 0.05
_CUT_S = 1.0
_QUEUE_S = 0.1
"""Seconds for taking the listener's queue; a handshake that has begun ends within them, unless its client is far away."""
_STOPPING = {"ok": False, "checks": [Check("process", ok=False, detail="this process is stopping")]}


class DrainingState(ServerState):
    """The server's state as its connections see it."""

    draining = False
    """Whether each answer is the last of its connection."""


class DrainingServer(uvicorn.Server):
    """A server that still answers for a while after it was told to stop, and closes its connections one by one."""

    def __init__(self, config: uvicorn.Config, drain_s: float, drained: Callable[[], None]) -> None:
        """`drained`: ends answers that would go on without end, once balancers have had their time."""
        super().__init__(config)
        self._drained = drained
        self.server_state: DrainingState = DrainingState()
        self._drain_s = drain_s

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A process that was told to stop ends normally: the steps after the server run, and the exit code is 0."""
        with super().capture_signals():
            try:
                yield
            finally:
                self._captured_signals = [number for number in self._captured_signals if number != signal.SIGTERM]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then stop as usual; a second interrupt ends the draining."""
        self.server_state.draining = True
        until = asyncio.get_running_loop().time() + self._drain_s
        while not self.force_exit and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 - a signal's handler sets it
            await asyncio.sleep(_LOOK_S)
        self._drained()
        take_no_new(listener.fileno() for one in self.servers for listener in one.sockets)
        await asyncio.sleep(_QUEUE_S)
        await super().shutdown(sockets)
        if self.server_state.tasks:  # cut off just now: each answers that
            await asyncio.wait(self.server_state.tasks, timeout=_CUT_S)

    async def unready(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """The application; but it answers /readyz of a stopping process itself, and requests that the stop cuts off."""
        if self.server_state.draining and scope["type"] == ScopeType.HTTP and scope["path"] == "/readyz":
            stopping = Answer(msgspec.json.encode(_STOPPING), status_code=503, media_type="application/json")
            await stopping.to_asgi_response()(scope, receive, send)
            return
        noticing = Noticing(send)
        try:
            await app(scope, receive, noticing)
        except asyncio.CancelledError:
            if noticing.begun or not self.server_state.draining:
                raise
            cut = Stopping(f"the process is stopping, and the request took more than {IN_FLIGHT_S} s longer")
            await problem(cut, headers={"Connection": "close"}).to_asgi_response()(scope, receive, send)
