"""Arrow and Parquet: batches of rows, converted in a thread while Postgres sends the next ones."""

import asyncio
import io
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pyarrow as pa
from psycopg import sql
from pyarrow import parquet as pq

from refold.api.http.downloads.arrow_types import Batches
from refold.api.http.downloads.copied import Snapshot

BATCH_BYTES = 1 << 20
"""Bytes of CSV that become one batch of an Arrow stream, or one row group of a Parquet file."""
_OPTIONS = sql.SQL("(FORMAT csv)")
Writer = Callable[[Any, Any], Any]


async def arrow(rows: Snapshot) -> AsyncGenerator[bytes, None]:
    """An IPC stream, uncompressed: readers in browsers know no compression."""
    async with aclosing(_written(rows, pa.ipc.new_stream)) as pieces:
        async for piece in pieces:
            yield piece


async def parquet(rows: Snapshot) -> AsyncGenerator[bytes, None]:
    """A Parquet file, compressed by Snappy, which every reader knows."""
    async with aclosing(_written(rows, pq.ParquetWriter)) as pieces:
        async for piece in pieces:
            yield piece


async def _written(rows: Snapshot, writer: Writer) -> AsyncGenerator[bytes, None]:
    batches = Batches(rows.columns)
    sink = _Sink()
    file = pa.PythonFile(sink, mode="w")
    open_writer = writer(file, batches.schema)
    async with aclosing(record_batches(rows, batches)) as found:
        async for batch in found:
            await asyncio.to_thread(open_writer.write_batch, batch)
            yield sink.taken()
    await asyncio.to_thread(open_writer.close)
    yield sink.taken()


async def record_batches(rows: Snapshot, batches: Batches) -> AsyncGenerator[Any, None]:
    """The rows as record batches. While one is made and used, Postgres fills the next."""
    making: asyncio.Future[Any] | None = None
    try:
        async with aclosing(_gathered(rows, batches)) as gathered:
            async for text in gathered:
                made, making = making, asyncio.ensure_future(asyncio.to_thread(batches.batch, text))
                if made is not None:
                    yield await made
        if making is not None:
            yield await making
    finally:
        if making is not None and not making.done():
            making.cancel()


async def _gathered(rows: Snapshot, batches: Batches) -> AsyncGenerator[bytes, None]:
    held, size = list[bytes](), 0
    async with aclosing(rows.copied(batches.shown(), _OPTIONS)) as pieces:
        async for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size >= BATCH_BYTES:
                yield b"".join(held)
                held, size = [], 0
    if held:
        yield b"".join(held)


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._held = list[bytes]()
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        self._held.append(bytes(data))
        self._at += len(data)
        return len(data)

    def taken(self) -> bytes:
        """All that was written since it was last taken."""
        held, self._held = self._held, []
        return b"".join(held)
