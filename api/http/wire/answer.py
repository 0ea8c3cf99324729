"""An answer whose body is already bytes, sent unchanged: the framework's conversion of responses would cost a tenth of a command's time."""

from collections.abc import Mapping
from typing import Any

from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Message, Receive, Scope, Send

JSON = "application/json"


class Answer(Response[bytes]):
    """A response without cookies, background tasks or encoders; its media type is given.

    `head`: it answers HEAD, and says nothing of the length of the body that it has not. `basis`: what the same request is answered alike
    by; None if nothing is known that decides it.
    """

    def __init__(
        self,
        content: bytes,
        *,
        head: bool = False,
        status_code: int | None = None,
        media_type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        # All that the framework's own constructor sets; its checks of the types take a twentieth of a command's time.
        self.content, self.headers = content, dict(headers or {})
        self.status_code, self.media_type, self.encoding = status_code, media_type, "utf-8"
        self.background, self.cookies, self.response_type_encoders = None, [], {}
        self.basis: object = None
        self._head = head

    def encoded_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers as the server takes them, with the media type, without a length."""
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        return [*headers, (b"content-type", (self.media_type or "application/octet-stream").encode("latin-1"))]

    def to_asgi_response(self, *_: Any, status_code: int | None = None, **__: Any) -> ASGIResponse:
        """`status_code`: the route's status, used if the answer has none of its own."""
        headers = self.encoded_headers()
        if not self._head:
            headers.append((b"content-length", b"%d" % len(self.content)))
        return _Whole(self.status_code or status_code or 200, headers, self.content)


class Noticing:
    """Passes an answer's messages on, and knows whether the answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send, self.begun = send, False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        await self._send(message)


class _Whole(ASGIResponse):
    """Sends two messages. It has this base class only because the framework requires it."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._status, self._headers, self._content = status, headers, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the framework names them
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._content, "more_body": False})
