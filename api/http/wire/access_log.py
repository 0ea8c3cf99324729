"""A log line for each request if the setting `api_access_log` is on: route, status and time, never ids or query values."""

import logging
from time import perf_counter

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from refold.streams.journal import about

_log = logging.getLogger("refold.access")


def logged(app: ASGIApp) -> ASGIApp:
    """Log each request once it is answered. Its route is a template, without ids and query."""

    async def timed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        began, status = perf_counter(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, watched)
        finally:
            route = str(scope.get("path_template") or "unknown")
            log_answer(scope["method"], route, status, perf_counter() - began)

    return timed


def log_answer(method: str, route: str, status: int, seconds: float) -> None:
    """Log a request that was answered."""
    ms = round(1000 * seconds, 1)
    _log.info(
        "%s %s %d %.1f ms", method, route, status, ms, extra=about(method=method, route=route, status=status, ms=ms)
    )
