"""A worker's own probes: /livez, /readyz and /metrics, in a thread that neither servers nor folds hold up.

Clients must not be able to hold up the worker. So a connection carries one request, its headers are bounded like the API's, and at most
a hundred connections a second are accepted: a flood of them costs a few percent of a processor, and waits.
"""

import asyncio
import errno
import logging
import socket
import threading
import time

import msgspec
import uvicorn
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from refold.api.errors import MethodNotAllowed, RouteUnknown
from refold.api.http.describe.metrics import CONTENT_TYPE, own_page
from refold.api.http.draining import DrainingState
from refold.api.http.wire.answer import Answer
from refold.api.http.wire.connections import BoundedConnection
from refold.api.http.wire.listening import address, listening
from refold.api.http.wire.problems import problem
from refold.streams.worker.taking_part import HERE, Part

MAX_CONNECTIONS = 64
_BACKLOG = 128
_BETWEEN_S = 0.01
"""Least seconds between two connections that are accepted."""
_LOOK_S = 1.0
_METRICS_S = 1.0
"""Greatest age of a page of metrics in seconds: making one takes time from the folds."""
_log = logging.getLogger(__name__)


class Probes:
    """The probes of one worker. No failure here disturbs the worker."""

    def __init__(self, role: str, host: str, port: int, part: Part = HERE) -> None:
        """Listens at once. Raises AddressRefused."""
        self._part, self._page, self._page_at = part, b"", -_METRICS_S
        self._listener = listening(host, port, _BACKLOG)
        self._listener.setblocking(False)
        self.url = address(self._listener)
        _log.info("%s: /livez, /readyz and /metrics are at %s", role, self.url)

    def start(self) -> None:
        """Answer, until the process ends."""
        threading.Thread(target=self._run, name="probes", daemon=True).start()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._serve(self._listener))

    async def _serve(self, listener: socket.socket) -> None:
        loop, state = asyncio.get_running_loop(), DrainingState()
        state.draining = True  # each answer is the last of its connection
        config = _config(self)
        looking = asyncio.create_task(self._look_on(), name="look")
        while not looking.done():
            try:
                connection, _ = await loop.sock_accept(listener)
                await loop.connect_accepted_socket(lambda: BoundedConnection(config, state, {}), connection)
            except OSError as problem:  # the client is gone already, or no descriptor is free: it waits in the queue
                if problem.errno in {errno.EMFILE, errno.ENFILE}:
                    _log.warning("a probe waits: %s (ulimit -n)", problem.strerror)
            await asyncio.sleep(_BETWEEN_S)

    async def _look_on(self) -> None:
        while True:
            self._part.look()
            await asyncio.sleep(_LOOK_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] == ScopeType.HTTP:
            await self._answer(scope["method"], scope["path"]).to_asgi_response()(scope, receive, send)

    def _answer(self, method: str, path: str) -> Answer:
        answers = {"/livez": self._livez, "/readyz": self._readyz, "/metrics": self._metrics}
        if path not in answers:
            return problem(RouteUnknown("there is nothing at this path: a worker has /livez, /readyz and /metrics"))
        if method not in {"GET", "HEAD"}:
            return problem(MethodNotAllowed("the path does not take this method"), headers={"Allow": "GET, HEAD"})
        return answers[path]()

    def _livez(self) -> Answer:
        stuck = self._part.stuck()
        return _json({"ok": True} if stuck is None else {"ok": False, "detail": stuck}, ok=stuck is None)

    def _readyz(self) -> Answer:
        checks = [check._asdict() for check in self._part.checks()]
        ok = all(check["ok"] for check in checks)
        return _json({"ok": ok, "checks": checks}, ok=ok)

    def _metrics(self) -> Answer:
        if time.monotonic() - self._page_at >= _METRICS_S:
            self._page, self._page_at = own_page(self._part.checks()), time.monotonic()
        return Answer(self._page, status_code=200, media_type=CONTENT_TYPE)


def _config(app: Probes) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
    )
    config.load()
    return config


def _json(body: object, *, ok: bool) -> Answer:
    return Answer(msgspec.json.encode(body), status_code=200 if ok else 503, media_type="application/json")
