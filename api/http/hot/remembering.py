"""Keeps the answers that are sent, as they are sent: whatever else forms an answer on its way, such as a coding, is in it."""

from time import monotonic

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from refold.api.http.hot.kept import KeptAnswers, Sent, question_in
from refold.api.http.hot.metrics import MISSES
from refold.api.http.reads.conditional import Basis

BASIS = "basis"
"""Key in a scope of what the answer is a function of, besides the request (`Answer.basis`)."""


class _Watched:
    """Passes messages on, and notes an answer that comes in one piece."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self.sent: Sent | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message["status"], list(message.get("headers", ()))
        elif message["type"] == "http.response.body" and self._start is not None:
            if not message.get("more_body", False):
                self.sent = Sent(*self._start, message.get("body", b""))
            self._start = None
        await self._send(message)


def remembered(app: ASGIApp, kept: KeptAnswers) -> ASGIApp:
    """The application; its answers with a basis are kept."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        question = question_in(scope) if kept.keeps else None
        if question is None:
            await app(scope, receive, send)
            return
        MISSES.inc()
        asked_at, watched = monotonic(), _Watched(send)
        await app(scope, receive, watched)
        basis = scope.get(BASIS)
        if isinstance(basis, Basis) and watched.sent is not None:
            kept.keep(question, scope["path_template"], basis, watched.sent, asked_at)

    return asked
