"""How the server stops: not ready first, so that balancers send elsewhere; then it hears no more; what is in flight finishes."""

import asyncio
import socket

import msgspec
import uvicorn
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from refold.api.http.answer import Answer
from refold.api.http.operation_services import Check

_LOOK_S = 0.05
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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then stop as ever; a second interrupt ends the draining."""
        self.server_state.draining = True
        until = asyncio.get_running_loop().time() + self._drain_s
        while not self.force_exit and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 - a signal's handler sets it
            await asyncio.sleep(_LOOK_S)
        await super().shutdown(sockets)

    async def unready(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, but for /readyz of a process that is stopping."""
        if self.server_state.draining and scope["type"] == ScopeType.HTTP and scope["path"] == "/readyz":
            stopping = Answer(msgspec.json.encode(_STOPPING), status_code=503, media_type="application/json")
            await stopping.to_asgi_response()(scope, receive, send)
        else:
            await app(scope, receive, send)
