"""What a route takes of a request: the path as it was sent, no parameter that it does not know, and an `Accept` that it can meet.

A route says which parameters it has (`parameters=…`), none unless it does, and which media types its answer may have (`answers=…`), JSON unless
it says others. ANY leaves them to the route itself.
"""

from typing import Any
from urllib.parse import unquote_to_bytes

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from refold.api.errors import RouteUnknown
from refold.api.http.wire.accepting import JSON, accepted
from refold.api.http.wire.parameters import refuse_unknown

ANY = None


def raw_behind(request: Request[Any, Any, Any], *segments: str) -> bytes | None:
    """The rest of the raw path after these segments and a slash, or None if it ends with them. Raises RouteUnknown.

    The framework's own path is decoded and its slashes are tidied up, but `%2F`, `//` and a last `/` mean something in a key.
    """
    raw = request.scope["raw_path"]
    if b"%" not in raw and b"?" not in raw:  # nearly always: nothing to decode
        there = f"/{'/'.join(segments)}".encode()
        if raw.startswith(there) and raw[len(there) : len(there) + 1] in {b"", b"/"}:
            return raw[len(there) + 1 :] if len(raw) > len(there) else None
    parts = raw.partition(b"?")[0].split(b"/", len(segments) + 1)
    named = [unquote_to_bytes(part) for part in parts[1 : len(segments) + 1]]
    if named != [segment.encode() for segment in segments]:
        raise RouteUnknown("there is nothing at this path")
    return parts[-1] if len(parts) == len(segments) + 2 else None


def known_parameters(app: ASGIApp) -> ASGIApp:
    """Refuse parameters that the route does not read: an answer that ignores one answers another question."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["query_string"]:
            known = scope["route_handler"].opt.get("parameters", ())
            if known is not ANY:
                refuse_unknown(scope["query_string"], known)
        await app(scope, receive, send)

    return checked


def acceptable(app: ASGIApp) -> ASGIApp:
    """Refuse a request whose `Accept` the route cannot meet, before the route does anything: it never gets JSON instead."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["method"] != "OPTIONS":
            there = scope["route_handler"].opt.get("answers", (JSON,))
            if there is not ANY:
                accepted(accept_of(scope), there)
        await app(scope, receive, send)

    return checked


def accept_of(scope: Scope) -> str | None:
    """The `Accept` header; one that is there several times is one list."""
    found = [value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"]
    return ", ".join(found) or None
