"""Repacks records of Kafka's batches byte for byte; key, value and headers are not decoded. Pure.

A record's offset and time lie in its batch and in two numbers of its own; everything after those is `rest`. A batch
stamped by the broker has one time for all records (LogAppendTime); a batch made here has each record's time. Format:
https://kafka.apache.org/documentation/#recordbatch.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.util import calc_crc32c

from refold.schemas.binary import long_bytes, read_long
from refold.streams.errors import LogCorrupt
from refold.streams.kafka.record_batches import BEFORE_LENGTH, CHECKED_FROM, HEADER, MAGIC, RecordBatch

Record = tuple[int, int, bytes]
"""Offset, time in milliseconds, and the encoded key, value and headers."""
_NO_ATTRIBUTES = b"\0"
_NOBODY = -1
_ENCODERS: dict[int, Callable[[bytes], Any]] = {
    0: bytes,
    1: gzip_encode,
    2: snappy_encode,
    3: lz4_encode,
    4: zstd_encode,
}


def records_of(batch: RecordBatch, where: str) -> Iterator[Record]:
    """Every record of a batch. Raises LogCorrupt."""
    body, at, first_ms = batch.body(), 0, batch.first_ms
    stamped = batch.last_ms if batch.is_brokers_time else None
    try:
        for _ in range(batch.count):
            length, at = read_long(body, at)
            end = at + length
            later, place = read_long(body, at + len(_NO_ATTRIBUTES))
            delta, place = read_long(body, place)
            if not place <= end <= len(body):
                raise _outside(batch, where)
            yield batch.base + delta, first_ms + later if stamped is None else stamped, body[place:end]
            at = end
    except (IndexError, ValueError) as problem:
        raise LogCorrupt(f"{where}: the batch at offset {batch.base} cannot be read: {problem}") from problem
    if at != len(body):
        raise LogCorrupt(f"{where}: the batch at offset {batch.base} has bytes that belong to no record")


def _outside(batch: RecordBatch, where: str) -> LogCorrupt:
    return LogCorrupt(f"{where}: a record of the batch at offset {batch.base} ends outside of it")


def batch_of(records: Sequence[Record], codec: int) -> bytes:
    """One batch of the records, at least one, without a producer. The broker gives its first record any offset."""
    first_ms = records[0][1]
    parts: list[bytes] = []
    for delta, (_, millis, rest) in enumerate(records):
        inner = b"".join((_NO_ATTRIBUTES, long_bytes(millis - first_ms), long_bytes(delta), rest))
        parts += (long_bytes(len(inner)), inner)
    body = bytes(_ENCODERS[codec](b"".join(parts)))
    last_ms, count = max(millis for _, millis, _ in records), len(records)
    fields = (codec, count - 1, first_ms, last_ms, _NOBODY, _NOBODY, _NOBODY, count)
    length = HEADER.size - BEFORE_LENGTH + len(body)
    crc = calc_crc32c(HEADER.pack(0, length, _NOBODY, MAGIC, 0, *fields)[CHECKED_FROM:] + body)
    return HEADER.pack(0, length, _NOBODY, MAGIC, crc, *fields) + body
