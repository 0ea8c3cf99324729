"""Decodes chunks into frames of the events that count, once for each event type, however many models read them.

Records that do not count are skipped by offset (`voids`, from the core) and by schema (claims). If an event that counts
cannot be read, or its upcaster fails, its stream is parked: this event and all later ones of the stream wait, for all
models alike. Rejections never wait: they do not rest on the stream's events.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refold.projections.declaring.declaration import EventType
from refold.projections.partials.payloads import has_nul, holds_texts
from refold.schemas.catalog import Catalog, Kind, Writer
from refold.schemas.codec import read_meta
from refold.schemas.columns import envelope as m
from refold.schemas.columns.binary_column import joined
from refold.schemas.columns.decoder import ROW, UNFRAMED, Bad, ColumnDecoder, Heads, read_heads
from refold.schemas.columns.upcast import todays_events
from refold.schemas.errors import NewerSchema
from refold.streams.chunk import Chunk
from refold.streams.core.limits import Voids
from refold.streams.log.topics import category_of
from refold.streams.postgres.set_aside import SetAside

ALL_BUILDS = 0
_PARK_FROM = "m_park_from"


@dataclass(frozen=True)
class Park:
    """A stream whose events wait from an offset on."""

    build: int
    category: str
    stream: str
    part: int
    first_offset: int
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Batch:
    """Chunks of one category as one run of records, ordered by place."""

    category: str
    chunks: Sequence[Chunk]
    values: Sequence[bytes | None]
    offsets: NDArray[np.int64]
    parts: NDArray[np.int32]


@dataclass(frozen=True)
class Counted:
    """The events of a batch that count, by type; the streams that it parks; the waiting events, by stream."""

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
    decoder: ColumnDecoder,
    types: Sequence[EventType],
    batch: Batch,
    voids: Voids,
    parked: Iterable[Park],
    chosen: NDArray[np.bool_] | None = None,
) -> Counted:
    """Decode the events that count and that some model reads. `parked`: the streams that wait for all builds.

    `chosen`: whether each record is read at all; None for all of them.
    """
    heads = _without_voids(read_heads(batch.values), batch, voids)
    if chosen is not None:
        heads = Heads(np.where(chosen, heads.schema_ids, UNFRAMED))
    decoder.catalog.know(heads.present)
    found = todays_events(decoder, batch.category, [kind.event.__name__ for kind in types], batch.values, heads)
    frames = {kind: found.frames[name] for kind in types if (name := kind.event.__name__) in found.frames}
    frames |= {kind: _storable(_placed(frame, batch)) for kind, frame in frames.items() if kind.is_rejection}
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
    """Events of ours that this code cannot read: no schema for their fields, no class, no upcaster, or another topic's.

    The core accepted them by their envelopes. Types that only newer code has are not among them: no model of this code
    gathers those.
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


def _placed(frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
    """The records with their offsets."""
    return frame.with_columns(pl.Series(m.OFFSET, batch.offsets[frame[ROW].to_numpy()], dtype=pl.Int64))


def _storable(rejections: pl.DataFrame) -> pl.DataFrame:
    """Rejections without those that Postgres cannot hold. No handler writes such a one, and no stream waits for it."""
    faults = [fault.row for fault in _unstorable(rejections)]
    return rejections.filter(~pl.col(ROW).is_in(faults)) if faults else rejections


def _unstorable(frame: pl.DataFrame) -> list[Bad]:
    """Events with texts that Avro allows and Postgres cannot hold.

    The decoder has checked the envelope and the times.
    """
    texts = [
        has_nul(pl.col(name), dtype)
        for name, dtype in frame.schema.items()
        if holds_texts(dtype) and not name.startswith("m_")
    ]
    if not texts or frame.is_empty():
        return []
    faults = pl.any_horizontal(texts)
    return [Bad(row, "value-unstorable") for row in frame.filter(faults)[ROW]]


def _parks(batch: Batch, bad: Sequence[Bad], known: Sequence[Park]) -> list[Park]:
    """A park for each stream that is not parked yet, from its first bad event on."""
    have = {park.stream for park in known}
    found: dict[str, Park] = {}
    for fault in sorted(bad, key=lambda fault: fault.row):
        meta = read_meta(batch.values[fault.row])
        if meta is not None and meta.is_event and meta.stream not in have and meta.stream not in found:
            part, offset = int(batch.parts[fault.row]), int(batch.offsets[fault.row])
            reason = f"the event at {part}:{offset} cannot be read" + (f": {fault.detail}" if fault.detail else "")
            found[meta.stream] = Park(ALL_BUILDS, batch.category, meta.stream, part, offset, fault.reason, reason)
    return list(found.values())


def _without_parked(counted: Counted, batch: Batch, parked: Sequence[Park]) -> Counted:
    starts = pl.DataFrame(
        {m.STREAM: [p.stream for p in parked], _PARK_FROM: [p.first_offset for p in parked]},
        schema={m.STREAM: pl.String, _PARK_FROM: pl.Int64},
    )
    frames, late = dict(counted.frames), []
    for kind, frame in counted.frames.items():
        if kind.is_rejection:
            continue
        placed = _placed(frame, batch).join(starts, on=m.STREAM, how="left", maintain_order="left")
        waits = (pl.col(m.OFFSET) >= pl.col(_PARK_FROM)).fill_null(value=False)
        late.append(placed.filter(waits & (pl.col(m.OFFSET) > pl.col(_PARK_FROM))).select(m.STREAM, ROW))
        frames[kind] = placed.filter(~waits).drop(m.OFFSET, _PARK_FROM)
    waiting = {(batch.category, park.stream): 1 for park in counted.parks}
    if late:  # a stored event that was upcast to several counts once as waiting
        for stream, number in pl.concat(late).unique().group_by(m.STREAM).len().iter_rows():
            waiting[batch.category, stream] = waiting.get((batch.category, stream), 0) + number
    return replace(counted, frames=frames, waiting=waiting)
