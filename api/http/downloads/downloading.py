"""A download from its beginning, which can still be refused, to its last byte."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from litestar.types import Receive

from refold.api.download_errors import DownloadTooSlow
from refold.api.errors import TooManyWaiting
from refold.api.http.downloads.copied import Selection, Snapshot, snapshot
from refold.api.http.downloads.formats import Format
from refold.api.http.wire.database import Row

AT_ONCE = 8
"""Downloads of one process at once; each has a connection to Postgres of its own."""
_QUEUE_S = 5.0
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
Encode = Callable[[Snapshot], AsyncGenerator[bytes, None]]


class Gone(Exception):
    """The client has gone: nobody reads an answer."""


class Downloads:
    """The downloads of one process."""

    def __init__(self, url: str, longest_s: float) -> None:
        """`longest_s`: how long a download may take, to the last byte that its client takes."""
        self._url, self._longest_s = url, longest_s
        self._places = asyncio.Semaphore(AT_ONCE)

    async def begin(self, selection: Selection, format_: Format, receive: Receive) -> "Download":
        """A download whose first bytes are made: what Postgres or the format refuses at once is an error that can be answered.

        Raises TooManyWaiting, DownloadTooSlow, FormatCannotHold, Gone, the errors of `wire.database`, and psycopg's for values.
        """
        try:
            async with asyncio.timeout(_QUEUE_S):
                await self._places.acquire()
        except TimeoutError:
            raise TooManyWaiting(f"{AT_ONCE} downloads are under way already") from None
        download = Download(self._url, self._longest_s, selection, format_, receive)
        download.ending.callback(self._places.release)
        try:
            await download.begin()
        except BaseException:
            await download.close()
            raise
        return download


class Download:
    """One download. `state` is the row of the selection's `state`."""

    def __init__(self, url: str, longest_s: float, selection: Selection, format_: Format, receive: Receive) -> None:
        self.selection, self.format = selection, format_
        self.ending = AsyncExitStack()
        self.state: Row = ()
        self._url, self._longest_s = url, longest_s
        self._until = asyncio.get_running_loop().time() + longest_s
        self._pieces: AsyncGenerator[bytes, None] | None = None
        self._first: bytes | None = None
        self._gone = asyncio.ensure_future(_gone(receive))
        self.ending.callback(self._gone.cancel)

    async def begin(self) -> None:
        """Take the snapshot and make the first piece. Raises as `Downloads.begin`."""
        await self._bounded(self._begun())

    async def _begun(self) -> None:
        settings = {"statement_timeout": str(int(self._longest_s * 1000))}
        rows = await self.ending.enter_async_context(snapshot(self._url, settings, self.selection))
        self.state = rows.state
        self._pieces = await self.ending.enter_async_context(aclosing(encoder(self.format)(rows)))
        self._first = await anext(self._pieces, None)

    async def into(self, sink: Callable[[bytes], Awaitable[None]]) -> None:
        """Hand on all bytes; the sink waits for the client. Raises as `Downloads.begin`: then bytes are missing."""
        await self._bounded(self._handed_on(sink))

    async def _handed_on(self, sink: Callable[[bytes], Awaitable[None]]) -> None:
        assert self._pieces is not None
        if self._first is not None:
            await sink(self._first)
        async for piece in self._pieces:
            await sink(piece)

    async def _bounded(self, step: Coroutine[Any, Any, None]) -> None:
        """A step while the client is there and time is left."""
        task = asyncio.ensure_future(step)
        try:
            left = self._until - asyncio.get_running_loop().time()
            await asyncio.wait({task, self._gone}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if self._gone.done():
                raise Gone
            raise DownloadTooSlow(f"the download took longer than {self._longest_s:g} s")
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def close(self) -> None:
        """End it, wherever it stands: what Postgres still does for it is cancelled."""
        await self.ending.aclose()

    def file_name(self) -> str:
        """A name that is safe on every system: the model, and when it was downloaded."""
        model = _UNSAFE.sub("_", ".".join(self.selection.view))
        return f"{model}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{self.format.name}"


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def encoder(format_: Format) -> Encode:
    """What writes a format; the packages of the others are not imported."""
    return getattr(import_module(f"refold.api.http.downloads.{_MODULES[format_.name]}"), format_.name)  # type: ignore[no-any-return]  # each is one


_MODULES = {"json": "texts", "ndjson": "texts", "csv": "texts", "arrow": "arrow", "parquet": "arrow", "xlsx": "xlsx"}
