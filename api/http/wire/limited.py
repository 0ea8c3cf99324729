"""Limits the requests of this process at once; one beyond the limit is told to come back, and takes no memory meanwhile."""

from collections.abc import Callable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from refold.api.errors import TooManyWaiting
from refold.api.http.wire.problems import problem

MAX_AT_ONCE = 3000
"""Requests at once. More than may wait for outcomes; fewer than the server's connections, beyond which it answers without a problem's body."""
MAX_CONNECTIONS = 4000
"""Connections at once, idle ones included: each has buffers of its own."""
_ALWAYS = frozenset({"/livez", "/readyz", "/metrics"})
_STREAMS = "/changes"
"""End of the path of streams, which have a bound of their own (`changes/hub`)."""
_EVENTS = b"text/event-stream"
_COME_BACK = b"""retry: 5000

event: end
data: {"code":"too-many-waiting","message":"this process has no room for more; connect again"}

"""


class Room:
    """Count of one application's requests under way; shared, since the framework makes a new middleware for each route."""

    def __init__(self) -> None:
        self._under_way = 0

    def limited(self, app: ASGIApp) -> ASGIApp:
        """Answer 429 while MAX_AT_ONCE requests are under way; probes and metrics are always answered."""

        async def admitted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP or scope["path"] in _ALWAYS or scope["path"].endswith(_STREAMS):
                await app(scope, receive, send)
                return
            if self._under_way >= MAX_AT_ONCE:
                raise TooManyWaiting(f"{MAX_AT_ONCE} requests are under way already")
            self._under_way += 1
            try:
                await app(scope, receive, send)
            finally:
                self._under_way -= 1

        return admitted


def admitted(hangs_up: int | None) -> int:
    """Connections that we serve, if the server itself hangs up at `at_most`: a ninth is left for probes and for refusals with a problem."""
    return MAX_CONNECTIONS if hangs_up is None else min(MAX_CONNECTIONS, hangs_up - max(1, hangs_up // 9))


def uncrowded(app: ASGIApp, connections: Callable[[], int], most: Callable[[], int]) -> ASGIApp:
    """Answer 429 over a connection beyond `most` and close it; `connections` says how many the server has."""

    async def admitted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["path"] not in _ALWAYS and connections() > most():
            await _refuse(most(), scope, receive, send)
        else:
            await app(scope, receive, send)

    return admitted


async def _refuse(most: int, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse before the framework runs, so that a refusal costs next to nothing.

    EventSource gives up for good on any status but 200, so it is refused in its own words.
    """
    if any(name == b"accept" and _EVENTS in value for name, value in scope["headers"]):
        headers = [(b"content-type", _EVENTS), (b"cache-control", b"no-store"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _COME_BACK, "more_body": False})
        return
    error = TooManyWaiting(f"{most} connections are open already")
    await problem(error, headers={"Connection": "close"}).to_asgi_response()(scope, receive, send)
