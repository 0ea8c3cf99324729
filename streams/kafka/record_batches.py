"""Decodes Kafka's record batches as columns. Pure.

A record of message format 2 is written in Avro's own encoding (zigzag varints, length-prefixed bytes). So the joined
records of many batches are one Avro block, which Polars decodes at once. Headers are pairs of such bytes behind their
number, so all records of a block must have as many as its first. Then the sizes of the decoded numbers in their shortest
form are added up. If they miss a record's length, or the block cannot hold its keys, values or headers (null keys are the
claims'), the batches are halved until a single one is read record by record. Format:
https://kafka.apache.org/documentation/#recordbatch.
"""

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import calc_crc32c

from refold.schemas.binary import long_bytes, read_long
from refold.schemas.columns.binary_column import BinaryColumn
from refold.schemas.columns.compiled import loaded
from refold.schemas.columns.layout import empty_container
from refold.schemas.columns.sliced_column import SlicedColumn, Slices
from refold.schemas.columns.walk import long_sizes
from refold.streams.errors import LogCorrupt, LogHole

HEADER = struct.Struct(">qiibIhiqqqhii")
BEFORE_LENGTH, CHECKED_FROM, MAGIC = 12, 21, 2
_CODEC, _BROKERS_TIME, _CONTROL = 0x07, 0x08, 0x20
_LAST_DELTA, _FIRST_MS = struct.Struct(">23xi"), struct.Struct(">27xq")
_CODECS: dict[int, Callable[[memoryview], bytes]] = {
    0: bytes,
    1: gzip_decode,
    2: snappy_decode,
    3: lz4_decode,
    4: zstd_decode,
}
_ALONE = {2}
_MOST_BYTES = 1 << 28
_FIELDS: list[dict[str, Any]] = [
    {"name": "length", "type": "long"},
    {"name": "attributes", "type": {"type": "fixed", "name": "Attributes", "size": 1}},
    {"name": "later", "type": "long"},
    {"name": "delta", "type": "long"},
    {"name": "key", "type": "bytes"},
    {"name": "value", "type": "bytes"},
    {"name": "headers", "type": "long"},
]
_MOST_HEADERS = 32
_ROWS = {"offset": pl.Int64(), "key": pl.Binary(), "value": pl.Binary()}


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """A batch with a matching checksum: first offset, count of records, and its bytes from the first header byte."""

    base: int
    count: int
    attributes: int
    last_ms: int
    data: memoryview

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & _CONTROL)

    @property
    def codec(self) -> int:
        return self.attributes & _CODEC

    @property
    def end(self) -> int:
        """The offset after its last one. A compacted topic may have fewer records in between."""
        delta: int = _LAST_DELTA.unpack_from(self.data)[0]
        return self.base + delta + 1

    @property
    def first_ms(self) -> int:
        """The base of the records' times, in milliseconds."""
        millis: int = _FIRST_MS.unpack_from(self.data)[0]
        return millis

    @property
    def is_brokers_time(self) -> bool:
        """Whether all its records have the time `last_ms`, at which the broker appended it."""
        return bool(self.attributes & _BROKERS_TIME)

    def body(self) -> bytes:
        """Its encoded records. Raises LogCorrupt."""
        return next(iter(_decompressed([self])))


def batches_of(data: bytes, where: str) -> Iterator[RecordBatch]:
    """The whole batches of a fetched record set, whose end may be cut off. Raises LogCorrupt."""
    view, at = memoryview(data), 0
    while at + HEADER.size <= len(data):
        base, length, _, magic, crc, attributes, _, _, last_ms, _, _, _, count = HEADER.unpack_from(data, at)
        end = at + BEFORE_LENGTH + length
        if (
            magic != MAGIC
            or length > _MOST_BYTES
            or length < HEADER.size - BEFORE_LENGTH
            or attributes & _CODEC not in _CODECS
        ):
            raise LogCorrupt(f"{where}: the batch at offset {base} is not of message format 2")
        if end > len(data):
            return
        if calc_crc32c(view[at + CHECKED_FROM : end]) != crc:
            raise LogCorrupt(f"{where}: the checksum of the batch at offset {base} does not fit its bytes")
        yield RecordBatch(base, count, attributes, last_ms, view[at:end])
        at = end


def rows_of(batches: Sequence[RecordBatch]) -> pl.DataFrame:
    """The records of batches: `offset`, `key`, `value`. Raises LogCorrupt."""
    if not batches:
        return pl.DataFrame(schema=_ROWS)
    frame = _by_columns(batches)
    if frame is not None:
        return frame
    if len(batches) == 1:
        return _by_rows(batches[0])
    half = len(batches) // 2
    return pl.concat([rows_of(batches[:half]), rows_of(batches[half:])])


def values_of(batches: Sequence[RecordBatch]) -> Sequence[bytes | None]:
    """The values of any batches, one after another. Raises LogHole if one has fewer records than offsets, LogCorrupt."""
    for batch in batches:
        if batch.end - batch.base != batch.count:
            raise LogHole(f"an offset is missing behind {batch.base}")
    sliced = _sliced(batches, keys=False)
    if sliced is not None:
        return sliced[0]
    rows = rows_of(batches)
    dense = np.concatenate([np.arange(batch.base, batch.end) for batch in batches])
    if rows.height != len(dense) or not (rows["offset"].to_numpy() == dense).all():
        raise LogHole(f"an offset is missing behind {batches[0].base}")
    return BinaryColumn(rows["value"])


def cut(batches: Sequence[RecordBatch], *, keys: bool = False) -> tuple[SlicedColumn, SlicedColumn] | None:
    """The values of consecutive batches as slices, and with `keys` their keys, by a compiled loop; None without it, and on any doubt.

    All offsets are there, no value is null, and no length has two readings. A null key is empty. Raises LogCorrupt.
    """
    ends = [batches[0].base, *(batch.base + batch.count for batch in batches)]
    return _sliced(batches, keys=keys) if [batch.base for batch in batches] == ends[:-1] else None


def _sliced(batches: Sequence[RecordBatch], *, keys: bool) -> tuple[SlicedColumn, SlicedColumn] | None:
    kernels = loaded()
    counts = np.array([batch.count for batch in batches], np.int64)
    if kernels is None or counts.min() < 0:
        return None
    block = np.frombuffer(b"".join(_decompressed(batches)), np.uint8)
    if counts.sum() > len(block):  # a record takes more than one byte
        return None
    starts, lengths = np.empty((2, counts.sum()), np.int64)
    of_keys = np.empty((2, counts.sum() if keys else 0), np.int64)
    if not kernels.cut(block, counts, starts, lengths, of_keys):
        return None
    return SlicedColumn([Slices(block, starts, lengths)]), SlicedColumn([Slices(block, *of_keys)])


def _by_columns(batches: Sequence[RecordBatch]) -> pl.DataFrame | None:
    counts = [batch.count for batch in batches]
    block = b"".join(_decompressed(batches))
    headers = _headers_of_first(block)
    if headers is None:
        return None
    before, behind = _container(headers)
    container = b"".join((before, long_bytes(sum(counts)), long_bytes(len(block)), block, behind))
    try:
        frame = pl.read_avro(io.BytesIO(container))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # Polars panics (a BaseException) on malformed data; then the batches are halved
        return None
    if frame.height != sum(counts) or not _adds_up(frame, headers, len(block)):
        return None
    bases = np.repeat(np.array([batch.base for batch in batches], np.int64), counts)
    return frame.select(offset=pl.Series(bases) + pl.col("delta"), key="key", value="value")


def _decompressed(batches: Sequence[RecordBatch]) -> Iterator[bytes]:
    """The encoded records. Adjacent frames of one codec are joined into one stream, except snappy's."""
    for codec, run in groupby(batches, lambda batch: batch.codec):
        bodies = [batch.data[HEADER.size :] for batch in run]
        try:
            yield from map(_CODECS[codec], bodies if codec in _ALONE else [memoryview(b"".join(bodies))])
        except Exception as problem:
            raise LogCorrupt(f"batches from offset {batches[0].base} on cannot be decompressed: {problem}") from problem


def _headers_of_first(block: bytes) -> int | None:
    """The number of headers of a block's first record; None if it cannot be read, or has very many."""
    try:
        _, at = read_long(block, 0)
        at += 1  # attributes
        for _ in ("later", "delta"):
            _, at = read_long(block, at)
        for _ in ("key", "value"):
            size, at = read_long(block, at)
            at += max(0, size)
        headers, _ = read_long(block, at)
    except (IndexError, ValueError):
        return None
    return headers if 0 <= headers <= _MOST_HEADERS else None


@cache
def _container(headers: int) -> tuple[bytes, bytes]:
    """An Avro container without rows, for records with this number of headers, and its sync marker."""
    pairs = [{"name": f"{part}_{n}", "type": "bytes"} for n in range(headers) for part in ("name", "held")]
    return empty_container([*_FIELDS, *pairs])


def _adds_up(frame: pl.DataFrame, headers: int, size: int) -> bool:
    """Whether each record has the length that it states, all together fill the block, and each has as many headers."""
    texts = frame.columns[len(_FIELDS) :]
    sizes = frame.select(pl.col("key", "value", *texts).bin.size().cast(pl.Int64))
    length, later, delta, *bytes_of = (
        series.to_numpy() for series in (frame["length"], frame["later"], frame["delta"], *sizes)
    )
    attributes = count = 1
    inside = attributes + long_sizes(later) + long_sizes(delta) + count
    for held in bytes_of:
        inside = inside + long_sizes(held) + held
    whole = int((length + long_sizes(length)).sum())
    return bool((length == inside).all()) and whole == size and not (frame["headers"] != headers).any()


def _by_rows(batch: RecordBatch) -> pl.DataFrame:
    try:
        found = [(record.offset, record.key, record.value) for record in DefaultRecordBatch(batch.data.tobytes())]
    except Exception as problem:
        raise LogCorrupt(f"the batch at offset {batch.base} cannot be read: {problem}") from problem
    return pl.DataFrame(found, schema=_ROWS, orient="row")
