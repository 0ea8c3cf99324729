"""CORS: pages of the origins that the settings name may call the API in a browser, and read our headers. Without such origins nothing is added."""

from collections.abc import Collection

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

ANY = "*"
_METHODS = b"GET, HEAD, POST, OPTIONS"
_MAX_AGE_S = b"600"
_KEPT_BY_BROWSERS = frozenset({b"content-type", b"content-length", b"last-modified", b"cache-control", b"expires"})
"""Headers of an answer that a page may read anyway."""
_VARY = (b"vary", b"Origin")


def shared(app: ASGIApp, origins: Collection[str]) -> ASGIApp:
    """The application, for pages of these origins too; `*` is every origin. It wraps all else, so that pages can read refusals as well.

    Credentials are never allowed: a page of a foreign origin cannot act with what a browser keeps of its user.
    """
    if not origins:
        return app
    named = frozenset(origin.encode() for origin in origins)

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        sent = dict(scope["headers"])
        origin = sent.get(b"origin")
        every = ANY.encode() in named
        allowed = origin if origin in named else ANY.encode() if origin is not None and every else None
        ours = [] if every else [_VARY]  # a cache must not give one origin's answer to another
        if allowed is not None:
            ours.append((b"access-control-allow-origin", allowed))
        if scope["method"] == "OPTIONS" and origin is not None and b"access-control-request-method" in sent:
            await _before(send, sent.get(b"access-control-request-headers", b""), ours, allowed=allowed is not None)
            return

        async def added(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = [*message.get("headers", [])]
                shown = (
                    b", ".join(sorted({name for name, _ in there} - _KEPT_BY_BROWSERS)) if allowed is not None else b""
                )
                exposed = [(b"access-control-expose-headers", shown)] if shown else []
                message["headers"] = [*there, *ours, *exposed]
            await send(message)

        await app(scope, receive, added)

    return answered


def every_answer(origins: Collection[str]) -> bytes:
    """The header lines that `shared` adds to an answer even if its request names no origin."""
    return b"" if not origins or ANY in origins else b"%b: %b\r\n" % _VARY


async def _before(send: Send, wanted: bytes, ours: list[tuple[bytes, bytes]], *, allowed: bool) -> None:
    """Answer a browser that asks before it sends. An origin that is not named is told no more than that."""
    headers = [*ours, (b"vary", b"Access-Control-Request-Headers")]
    if allowed:
        headers += [(b"access-control-allow-methods", _METHODS), (b"access-control-max-age", _MAX_AGE_S)]
        headers += [(b"access-control-allow-headers", wanted)] if wanted else []
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
