"""All Arrow and Parquet of a process is made by one thread and written by another: each that works with Arrow keeps memory of its own."""

import asyncio
import io
import threading
from collections.abc import AsyncGenerator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from refold.api.http.downloads import arrow
from refold.api.http.downloads.arrow_types import Batches
from refold.api.http.downloads.columns import Column

COLUMNS = (Column("n", "int8"), Column("revenue", "numeric", precision=12, scale=2))


class Rows:
    """Three batches, as Postgres copies them out."""

    columns = COLUMNS

    async def copied(self, *_: Any) -> AsyncGenerator[bytes, None]:
        for batch in range(3):
            yield b"".join(b"%d,%d.50\n" % (n, n) for n in range(batch * 1000, batch * 1000 + 1000))


@pytest.mark.parametrize("name", ["arrow", "parquet"])
def test_two_downloads_at_once_have_all_rows_and_two_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "BATCH_BYTES", 1)
    makers, writers, made, written = set[str](), set[str](), Batches.batch, arrow._Sink.write

    def batch(self: Batches, rows: bytes) -> Any:
        makers.add(threading.current_thread().name)
        return made(self, rows)

    def write(self: arrow._Sink, data: Any) -> int:
        writers.add(threading.current_thread().name)
        return written(self, data)

    monkeypatch.setattr(Batches, "batch", batch)
    monkeypatch.setattr(arrow._Sink, "write", write)

    async def file() -> bytes:
        return b"".join([piece async for piece in getattr(arrow, name)(Rows())])

    async def both() -> tuple[bytes, bytes]:
        return await asyncio.gather(file(), file())

    for found in asyncio.run(both()):
        table = pa.ipc.open_stream(found).read_all() if name == "arrow" else pq.read_table(io.BytesIO(found))
        assert table["n"].to_pylist() == list(range(3000))
        assert table["revenue"].to_pylist() == [Decimal(f"{n}.50") for n in range(3000)]
    assert (makers, writers) == ({"arrow-making_0"}, {"arrow-writing_0"})
