"""An answer whose body is bytes already, sent as it is: the framework's way from a response to its messages costs a tenth of a command."""

from typing import Any

from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

JSON = "application/json"


class Answer(Response[bytes]):
    """A response without cookies, background tasks or encoders; its media type is given."""

    def to_asgi_response(self, *_: Any, status_code: int | None = None, **__: Any) -> ASGIResponse:
        """`status_code`: the route's, which counts where the answer has none of its own."""
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        headers.append((b"content-type", (self.media_type or "application/octet-stream").encode("latin-1")))
        headers.append((b"content-length", b"%d" % len(self.content)))
        return _Whole(self.status_code or status_code or 200, headers, self.content)


class _Whole(ASGIResponse):
    """Two messages; of its class only so that the framework takes it."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._status, self._headers, self._content = status, headers, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the framework names them
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._content, "more_body": False})
