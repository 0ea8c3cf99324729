"""Each request has an id: the client's if it is sound, else ours. The answer, problems and log lines carry it."""

import re
from itertools import count
from secrets import token_hex

from litestar.types import ASGIApp, Receive, Scope, Send

from refold.streams import journal

HEADER = b"x-request-id"
SCOPE = "request_id"
"""The id's key in the scope of a request. Log lines read the scope; it also holds `command_id` once that is known."""
_SOUND = re.compile(rb"[A-Za-z0-9._:/+=@~-]{1,128}")
_OURS = f"{token_hex(6)}-"
_number = count(1)


def request_id_of(sent: bytes | None) -> str:
    """The id that the client sent, or a new one if it is missing, too long, or holds characters that do not belong in a log line."""
    if sent is not None and _SOUND.fullmatch(sent):
        return sent.decode("ascii")
    return f"{_OURS}{next(_number):x}"


def current() -> str | None:
    """The id of the request that is being answered; None if it has none."""
    scope = journal.CONTEXT.get()
    return None if scope is None else scope.get(SCOPE)


def told(app: ASGIApp) -> ASGIApp:
    """Give a request's log lines its id. Runs before the rest of the application, since a connection's requests share a context."""

    async def known(scope: Scope, receive: Receive, send: Send) -> None:
        journal.CONTEXT.set(scope)
        await app(scope, receive, send)

    return known
