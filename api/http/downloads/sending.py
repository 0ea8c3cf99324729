"""The answer of a download: chunks as they come, and a broken connection if they end too early."""

import logging
from typing import Any

from litestar.enums import ScopeType
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from refold.api.http.downloads.downloading import Download, Gone
from refold.api.http.wire.answer import Answer
from refold.schemas.errors import RefoldError
from refold.streams.journal import about

_log = logging.getLogger(__name__)


class DownloadAnswer(Answer):
    """A download as a response."""

    def __init__(self, download: Download, headers: dict[str, str]) -> None:
        disposition = {"Content-Disposition": f'attachment; filename="{download.file_name()}"'}
        super().__init__(b"", headers=headers | disposition, media_type=download.format.content_type)
        self._download = download

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        """The response that sends it."""
        return _Chunks(self._download, self.encoded_headers())


class _Chunks(ASGIResponse):
    """Sends the bytes. If they end too early it returns without the last message, and the server breaks the connection.

    There is no other sign: an error's text would be taken for rows, and a clean end for all of them.
    """

    def __init__(self, download: Download, headers: list[tuple[bytes, bytes]]) -> None:
        self._download, self._headers = download, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the framework names them
        async def sent(piece: bytes) -> None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})

        try:
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            if scope["type"] == ScopeType.HTTP and scope["method"] != "HEAD":
                await self._download.into(sent)
        except Gone:
            return
        except RefoldError as problem:
            _log.warning("a download broke off: %s: %s", problem.code, problem.message, extra=about(problem))
            return
        except Exception:
            _log.exception("a download broke off")
            return
        finally:
            await self._download.close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
