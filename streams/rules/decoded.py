"""Decodes a chunk of events: the envelopes for the rules, and the bodies of records that count.

The rules see the records of the log. Today's events of a retired record matter only to states, so they are kept apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from refold.schemas.catalog import REJECTION_WRITER, Catalog, Kind
from refold.schemas.codec import Codec, Rejection
from refold.schemas.columns import envelope as m
from refold.schemas.columns.binary_column import BinaryColumn
from refold.schemas.columns.decoder import ROW, ColumnDecoder, Heads
from refold.schemas.contracts import Event
from refold.schemas.errors import Undecodable
from refold.streams.chunk import Chunk
from refold.streams.rules.judge_columns import ENVELOPE


@dataclass
class DecodedChunk:
    """Frames by event name (all envelope columns, the fields, ROW), rejections apart, unreadable records left out.

    `upcast`: by row, today's events of a retired one; None if its upcaster failed.
    """

    chunk: Chunk
    events: dict[str, pl.DataFrame]
    rejections: pl.DataFrame
    upcast: dict[int, tuple[Event, ...] | None] = field(default_factory=dict)
    fell_back: int = 0

    def envelopes(self) -> pl.DataFrame | None:
        """All envelopes in order, or None unless every record was decoded by columns and has its stream as key."""
        frames = [frame.select(*ENVELOPE, ROW) for frame in (*self.events.values(), self.rejections) if frame.height]
        if sum(frame.height for frame in frames) != len(self.chunk.values) or not frames:
            return None
        joined = pl.concat(frames).sort(ROW) if len(frames) > 1 else frames[0]
        return joined if self._keys_fit(joined) else None

    def _keys_fit(self, joined: pl.DataFrame) -> bool:
        held = self.chunk.keys
        keys = held.series if isinstance(held, BinaryColumn) else pl.Series(held, dtype=pl.Binary)
        return bool((keys == joined[m.STREAM].cast(pl.Binary)).fill_null(value=False).all())


class EventDecoder:
    """Decodes chunks of one category's events."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._codec = Codec(catalog)
        self._columns = ColumnDecoder(catalog, thin=False)

    def decode(self, chunk: Chunk, category: str, heads: Heads) -> DecodedChunk:
        """Never raises for bad bytes: such records are in no frame."""
        found = DecodedChunk(chunk, {}, self._rejections(chunk.values, heads))
        names = {
            w.name
            for i in heads.present
            if (w := self._catalog.find(i)) and w.kind is Kind.EVENT and w.cls and w.category == category
        }
        for name in sorted(names):
            decoded = self._columns.events(category, name, chunk.values, heads)
            found.events[name] = decoded.frame
            found.fell_back += decoded.fell_back
        for row in self._retired(category, heads):
            found.upcast[row] = self._upcast(chunk.values[row])
        return found

    def _retired(self, category: str, heads: Heads) -> list[int]:
        """The rows of retired events."""
        retired = self._catalog.retired_ids.get(category, ())
        return [row for number in retired if number in heads.present for row in heads.rows_of(number).tolist()]

    def _upcast(self, value: bytes | None) -> tuple[Event, ...] | None:
        try:
            found = self._codec.read_events(value)[1]
        except Undecodable:
            return None
        assert not isinstance(found, Rejection), "of a retired event's schema"
        return found

    def _rejections(self, values: Sequence[bytes | None], heads: Heads) -> pl.DataFrame:
        return self._columns.read(REJECTION_WRITER.id, values, heads).frame
