"""Chunks as frames of the events that count: one decode for each event type, whatever the number of models.

Records that do not count are passed over by offset (`voids`, from core) and by schema (claims, rejections). An event that
counts but cannot be read, or that its upcaster cannot read as events of today, parks its stream: it and all that follows in
the stream wait, for all models alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refold.projections.declaring.declaration import EventType
from refold.schemas.catalog import Catalog, Kind, Writer
from refold.schemas.codec import read_envelope
from refold.schemas.columns import envelope as m
from refold.schemas.columns.binary_column import joined
from refold.schemas.columns.decoder import ROW, Bad, ColumnDecoder, Heads, read_heads
from refold.schemas.columns.upcast import todays_events
from refold.schemas.errors import NewerSchema, Undecodable
from refold.schemas.meta import Meta
from refold.streams.chunk import Chunk
from refold.streams.core.limits import Voids
from refold.streams.log.topics import category_of
from refold.streams.postgres.set_aside import SetAside

ALL_BUILDS = 0
_OFFSET, _PARK_FROM = "m_offset", "m_park_from"


@dataclass(frozen=True)
class Park:
    """A stream whose events from an offset on wait."""

    build: int
    category: str
    stream: str
    part: int
    first_offset: int
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Batch:
    """Chunks of one category as one run of rows, in place order."""

    category: str
    chunks: Sequence[Chunk]
    values: Sequence[bytes | None]
    offsets: NDArray[np.int64]
    parts: NDArray[np.int32]


@dataclass(frozen=True)
class Counted:
    """The events of a batch that count, by type; streams that it parks; events that wait, by stream."""

    frames: Mapping[EventType, pl.DataFrame]
    parks: list[Park] = field(default_factory=list)
    waiting: Mapping[tuple[str, str], int] = field(default_factory=dict)
    fell_back: int = 0
    upcast: int = 0

    @property
    def events(self) -> int:
        return sum(frame.height for frame in self.frames.values())


def by_category(prefix: str, chunks: Iterable[Chunk]) -> dict[str, list[Chunk]]:
    """Chunks of each category, the categories in order."""
    found: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        found.setdefault(category_of(prefix, chunk.topic), []).append(chunk)
    return dict(sorted(found.items()))


def batch_of(category: str, chunks: Iterable[Chunk]) -> Batch:
    """Join chunks of one category."""
    ordered = sorted(chunks, key=lambda chunk: chunk.place)
    values = joined([chunk.values for chunk in ordered])
    offsets = [np.arange(chunk.start, chunk.end, dtype=np.int64) for chunk in ordered]
    parts = [np.full(len(chunk.values), chunk.part, np.int32) for chunk in ordered]
    return Batch(category, ordered, values, np.concatenate(offsets), np.concatenate(parts))


def counted_events(
    decoder: ColumnDecoder, types: Sequence[EventType], batch: Batch, voids: Voids, parked: Iterable[Park]
) -> Counted:
    """Decode what counts and some model reads. `parked` are the streams that wait for all builds."""
    heads = _without_voids(read_heads(batch.values), batch, voids)
    decoder.catalog.know(heads.present)
    found = todays_events(decoder, batch.category, [kind.event.__name__ for kind in types], batch.values, heads)
    frames = {kind: found.frames[name] for kind in types if (name := kind.event.__name__) in found.frames}
    bad = found.bad + _unknown(decoder.catalog, heads, batch)
    bad += [fault for frame in frames.values() for fault in _unstorable(frame)]
    known = [park for park in parked if park.category == batch.category]
    parks = _parks(batch, bad, known)
    counted = Counted(frames, parks, fell_back=found.fell_back, upcast=found.upcast)
    return _without_parked(counted, batch, [*known, *parks]) if known or parks else counted


def _without_voids(heads: Heads, batch: Batch, voids: Voids) -> Heads:
    ids, base = heads.schema_ids, 0
    if any(chunk.place in voids for chunk in batch.chunks):
        ids = ids.copy()
        for chunk in batch.chunks:
            for first, last in voids.get(chunk.place, ()):
                low, high = max(first, chunk.start), min(last + 1, chunk.end)
                if low < high:
                    ids[base + low - chunk.start : base + high - chunk.start] = -1
            base += len(chunk.values)
    return Heads(ids)


def _unknown(catalog: Catalog, heads: Heads, batch: Batch) -> list[Bad]:
    """Core let them pass by their envelopes, though this code has no schema for the rest, no class and no upcaster, or one of another topic.

    An event of a type that only newer code has is none of them: no model of this code gathers it.
    """
    found = []
    for number in heads.present:
        writer = catalog.by_id.get(number)
        if writer is None:
            reason = "unknown-schema" if number >= 0 else ""
        elif writer.kind is Kind.COMMAND or writer.category not in (batch.category, "refold"):
            reason = "wrong-topic"
        else:
            reason = _without_class(writer) if (writer.kind, writer.cls) == (Kind.EVENT, None) else ""
        if reason:
            rows = heads.rows_of(number).tolist()
            found += [
                Bad(row, value.reason if isinstance(value := batch.values[row], SetAside) else reason) for row in rows
            ]
    return found


def _without_class(writer: Writer) -> str:
    return "" if writer.is_newer_type else NewerSchema.code if writer.newer else "no-class"


def _unstorable(frame: pl.DataFrame) -> list[Bad]:
    """Texts that Avro can carry and Postgres cannot hold. The decoder has looked at the envelope and at times."""
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String and not name.startswith("m_")]
    if not texts or frame.is_empty():
        return []
    faults = pl.any_horizontal(pl.col(name).str.contains("\0", literal=True).fill_null(value=False) for name in texts)
    return [Bad(row, "value-unstorable") for row in frame.filter(faults)[ROW]]


def _parks(batch: Batch, bad: Sequence[Bad], known: Sequence[Park]) -> list[Park]:
    """The first bad event of each stream that is not parked yet."""
    have = {park.stream for park in known}
    found: dict[str, Park] = {}
    for fault in sorted(bad, key=lambda fault: fault.row):
        meta = _envelope(batch.values[fault.row])
        if meta is not None and meta.is_event and meta.stream not in have and meta.stream not in found:
            part, offset = int(batch.parts[fault.row]), int(batch.offsets[fault.row])
            reason = f"the event at {part}:{offset} cannot be read" + (f": {fault.detail}" if fault.detail else "")
            found[meta.stream] = Park(ALL_BUILDS, batch.category, meta.stream, part, offset, fault.reason, reason)
    return list(found.values())


def _envelope(value: bytes | None) -> Meta | None:
    try:
        found = read_envelope(value)
    except Undecodable:
        return None
    return found if isinstance(found, Meta) else None


def _without_parked(counted: Counted, batch: Batch, parked: Sequence[Park]) -> Counted:
    starts = pl.DataFrame(
        {m.STREAM: [p.stream for p in parked], _PARK_FROM: [p.first_offset for p in parked]},
        schema={m.STREAM: pl.String, _PARK_FROM: pl.Int64},
    )
    frames, late = {}, []
    for kind, frame in counted.frames.items():
        placed = frame.with_columns(pl.Series(_OFFSET, batch.offsets[frame[ROW].to_numpy()], dtype=pl.Int64)).join(
            starts, on=m.STREAM, how="left", maintain_order="left"
        )
        waits = (pl.col(_OFFSET) >= pl.col(_PARK_FROM)).fill_null(value=False)
        late.append(placed.filter(waits & (pl.col(_OFFSET) > pl.col(_PARK_FROM))).select(m.STREAM, ROW))
        frames[kind] = placed.filter(~waits).drop(_OFFSET, _PARK_FROM)
    waiting = {(batch.category, park.stream): 1 for park in counted.parks}
    if late:  # a stored event that was upcast to several waits once
        for stream, number in pl.concat(late).unique().group_by(m.STREAM).len().iter_rows():
            waiting[batch.category, stream] = waiting.get((batch.category, stream), 0) + number
    return replace(counted, frames=frames, waiting=waiting)
