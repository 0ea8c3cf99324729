"""Finds the events that are added to one row, by columns, and the column of a key that names a stream."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from refold.projections.declaring.declaration import EventType, Rollup, handled
from refold.projections.declaring.expressions import Field
from refold.projections.partials.long_keys import MARK
from refold.projections.partials.partial import key_part, with_rows
from refold.projections.tables.layout import Layout
from refold.schemas.columns import envelope as m
from refold.schemas.columns.decoder import ROW


def rows_of_key(layout: Layout, kind: EventType, frame: pl.DataFrame, key: Sequence[Any]) -> pl.Series:
    """The rows (ROW) of one type's events that are added to the row with this key."""
    if isinstance(layout.model, Rollup):
        frame = with_rows(layout.model, kind, frame)
    keys = (
        [key_part(layout, kind, name, frame) for name in layout.key_names]
        if isinstance(layout.model, Rollup)
        else [pl.col(m.STREAM)]
    )
    same = [
        found.cast(part.type.dtype).eq_missing(pl.lit(value, part.type.dtype))
        for found, part, value in zip(keys, layout.keys, key, strict=True)
    ]
    return frame.filter(pl.all_horizontal(same))[ROW]


def stream_of(layout: Layout, key: Sequence[Any]) -> str | None:
    """The stream whose events alone reach the row with this key, if the core knows their places.

    None if any stream's may reach it, if the key has only a stand-in for the stream, or if rejections do: the core notes the
    places of events alone.
    """
    model = layout.model
    if not isinstance(model, Rollup):
        return str(key[0])
    if any(kind.is_rejection for kind in handled(model)):
        return None
    parts = [part.value for part in model.key.values()]
    if Field(m.STREAM) not in parts:
        return None
    stream = str(key[parts.index(Field(m.STREAM))])
    return None if MARK in stream else stream
