"""The keys of a model's rows that events touch: where a reader who has the rows of one position finds what is new at another.

Invariant: between two positions no row changes but those whose keys the counted events between them touch. A key may be
touched and its row unchanged: whoever reads the rows of all touched keys misses nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from refold.projections.declaring.declaration import EventType, Rollup, handled
from refold.projections.declaring.expressions import fields_of
from refold.projections.partials.batch import Batch
from refold.projections.partials.partial import Frames, key_part, with_rows
from refold.projections.partials.places import PLACE, placed
from refold.projections.tables.layout import Layout
from refold.schemas.columns import envelope as m
from refold.schemas.columns.decoder import ROW

Key = tuple[Any, ...]
"""The values of a row's key as the table holds them, in the order of the layout's keys."""


@dataclass(frozen=True, slots=True)
class Touched:
    """An event at (partition, offset) touched the row with this key."""

    part: int
    offset: int
    key: Key


def touched(layout: Layout, batch: Batch, frames: Frames) -> Iterator[Touched]:
    """The keys that the counted events of a batch touch, by event type, each type's in the order of the batch."""
    for kind in handled(layout.model):
        frame = frames.get(kind)
        if frame is None or frame.is_empty():
            continue
        if isinstance(layout.model, Rollup):
            frame = with_rows(layout.model, kind, frame)
        rows = frame[ROW].to_numpy()
        places = zip(batch.parts[rows].tolist(), batch.offsets[rows].tolist(), strict=True)
        for (part, offset), key in zip(places, keys_of(layout, kind, frame).iter_rows(), strict=True):
            yield Touched(part, offset, key)


def keys_of(layout: Layout, kind: EventType, frame: pl.DataFrame) -> pl.DataFrame:
    """The key of each event's row: one row for each event of the type, in their order."""
    model = layout.model
    if isinstance(model, Rollup):
        frame = placed(frame) if layout.appends else frame
        # With the row beside it: a part of a key may be the same word for all events.
        keys = [key_part(layout, kind, name, frame).cast(layout.part(name).type.dtype) for name in model.key]
        return frame.select(ROW, *keys).drop(ROW)
    return frame.select(pl.col(m.STREAM).alias(model.key_name))


def key_columns(layout: Layout) -> frozenset[str]:
    """The columns of events, besides ROW, that `keys_of` reads."""
    model = layout.model
    if not isinstance(model, Rollup):
        return frozenset({m.STREAM})
    read = {name for part in model.key.values() for name in fields_of(part.value)}
    return frozenset(read - {PLACE} | ({m.VERSION} if layout.appends else set()))
