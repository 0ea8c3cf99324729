"""Returns today's events of a chunk as columns: those written as such, and those upcast from retired types.

Records of retired types are few. The authors' Python upcasts them one by one; the results are encoded again and decoded
by columns like all others, so one frame holds both. Chunks without retired events pay nothing for this.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from refold.schemas.catalog import REJECTION_WRITER
from refold.schemas.codec import Codec
from refold.schemas.columns.decoder import ROW, Bad, ColumnDecoder, Heads
from refold.schemas.errors import Undecodable
from refold.schemas.meta import HEADER_BYTES
from refold.schemas.rejections import REJECTION

SUB = "m_sub"
"""Column with an event's index, from 0, among those that one record was upcast to. They share its row and version. Only
in frames with upcast events."""


@dataclass
class Todays:
    """Today's events by type, in the log's order; the records that could not be read; how many were upcast."""

    frames: dict[str, pl.DataFrame] = field(default_factory=dict)
    bad: list[Bad] = field(default_factory=list)
    fell_back: int = 0
    upcast: int = 0


@dataclass
class _Upcast:
    """Upcast events of one of today's types: their records, and the row and index of each."""

    values: list[bytes] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    subs: list[int] = field(default_factory=list)

    def add(self, value: bytes, row: int, sub: int) -> None:
        self.values.append(value)
        self.rows.append(row)
        self.subs.append(sub)


def todays_events(
    decoder: ColumnDecoder, category: str, names: Iterable[str], values: Sequence[bytes | None], heads: Heads
) -> Todays:
    """All events of some types, rejections among them. A type without events in the chunk has no frame.

    Never raises for bad records.
    """
    found, catalog, wanted = Todays(), decoder.catalog, list(names)
    written = {
        w.name
        for w in catalog.by_id.values()
        if w.category == category and w.id in heads.present and not w.needs_newer_code
    }
    if REJECTION_WRITER.id in heads.present:
        written.add(REJECTION)
    for name in wanted:
        if name in written:
            decoded = decoder.events(category, name, values, heads)
            found.frames[name] = _in_order(decoded.frame)
            found.bad += decoded.bad
            found.fell_back += decoded.fell_back
    for name, upcast in _upcast(decoder, category, wanted, values, heads, found).items():
        if name in wanted:
            frame = _frame(decoder, upcast, found)
            stored = found.frames.get(name)
            parts = [frame] if stored is None else [stored.with_columns(pl.lit(0, pl.Int64).alias(SUB)), frame]
            found.frames[name] = pl.concat(parts).sort(ROW, SUB)
    return found


def _upcast(
    decoder: ColumnDecoder,
    category: str,
    names: Sequence[str],
    values: Sequence[bytes | None],
    heads: Heads,
    found: Todays,
) -> dict[str, _Upcast]:
    codec, catalog = Codec(decoder.catalog), decoder.catalog
    there = [w for w in catalog.retired_writers(category, into=names) if w.id in heads.present]
    made: dict[str, _Upcast] = {}
    for row in sorted(row for writer in there for row in heads.rows_of(writer.id).tolist()):
        found.upcast += 1
        try:
            todays = codec.upcast(values[row])
        except Undecodable as problem:
            found.bad.append(Bad(row, problem.reason, problem.message))
            continue
        for sub, value in enumerate(todays):
            name = catalog.by_id[int.from_bytes(value[1:HEADER_BYTES])].name
            made.setdefault(name, _Upcast()).add(value, row, sub)
    return made


def _frame(decoder: ColumnDecoder, upcast: _Upcast, found: Todays) -> pl.DataFrame:
    """The columns of one type's upcast events, with the rows of their stored records."""
    writer = decoder.catalog.by_id[int.from_bytes(upcast.values[0][1:HEADER_BYTES])]
    decoded = decoder.reader(writer).read(upcast.values, np.arange(len(upcast.values)))
    assert not decoded.bad, "our own bytes of a moment ago"
    rows, subs = (pl.Series(held, dtype=pl.Int64) for held in (upcast.rows, upcast.subs))
    found.fell_back += decoded.fell_back
    return decoded.frame.with_columns(rows.cast(pl.UInt32).alias(ROW), subs.alias(SUB))


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame in the log's order: each version of a type was decoded after the other."""
    return frame if frame[ROW].is_sorted() else frame.sort(ROW)
