"""As many requests at once as this process has room for; the next one is told to come back, and takes no memory meanwhile."""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from refold.api.errors import TooManyWaiting

MAX_AT_ONCE = 3000
"""More than may wait for outcomes, fewer than the server takes connections: beyond those it answers without a problem's body."""
_ALWAYS = frozenset({"/livez", "/readyz", "/metrics"})


class Room:
    """How many requests of one application are under way: the framework makes a middleware anew for each route."""

    def __init__(self) -> None:
        self._under_way = 0

    def limited(self, app: ASGIApp) -> ASGIApp:
        """Answer 429 while MAX_AT_ONCE requests are under way; who watches the process is always answered."""

        async def admitted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP or scope["path"] in _ALWAYS:
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
