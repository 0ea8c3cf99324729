"""Each request has an id: its client's, where that is a sound one, or ours. It is in the answer, in problems, and in the log's lines."""

import re
from itertools import count
from secrets import token_hex

from litestar.types import ASGIApp, Receive, Scope, Send

from refold.streams import journal

HEADER = b"x-request-id"
SCOPE = "request_id"
"""Where the scope of a request has it. A scope is what log lines look into: `command_id` stands there, too, once it is known."""
_SOUND = re.compile(rb"[A-Za-z0-9._:/+=@~-]{1,128}")
_OURS = f"{token_hex(6)}-"
_number = count(1)


def request_id_of(sent: bytes | None) -> str:
    """What the client sent; where that is nothing, too long, or has characters that do not belong into a log line: one of ours."""
    if sent is not None and _SOUND.fullmatch(sent):
        return sent.decode("ascii")
    return f"{_OURS}{next(_number):x}"


def current() -> str | None:
    """The id of the request that is being answered; None where nobody gave it one."""
    scope = journal.CONTEXT.get()
    return None if scope is None else scope.get(SCOPE)


def told(app: ASGIApp) -> ASGIApp:
    """Let log lines of a request know whose they are. Before all else of the application: a connection's requests share a context."""

    async def known(scope: Scope, receive: Receive, send: Send) -> None:
        journal.CONTEXT.set(scope)
        await app(scope, receive, send)

    return known
