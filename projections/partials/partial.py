"""Partial results: what some events add to a model's rows, and how partials become one. Pure.

Invariant: a table is a function of its declaration, the positions reached and the parked offsets. Chunk sizes,
interleaving, kills and the time of the build do not matter: `merged` is commutative and associative, the SQL in
`merge_sql` is the same function, and nothing here looks at anything but the events.
"""

from collections.abc import Mapping, Sequence
from decimal import Context

import polars as pl

from refold.projections.declaring.aggregates import order_column
from refold.projections.declaring.declaration import Entity, EventType, Rollup, handled
from refold.projections.declaring.expressions import (
    ByEvent,
    Field,
    TypeName,
    fields_of,
)
from refold.projections.declaring.gathering import Column
from refold.projections.declaring.sql_types import INTEGER
from refold.projections.declaring.value_types import value_type
from refold.projections.partials import long_keys
from refold.projections.partials.column_values import condition_of, value_of, word_of
from refold.projections.partials.places import PLACE, placed
from refold.projections.partials.value_sets import united, with_sets
from refold.projections.partials.wide_sums import LIMB, limbs, low
from refold.projections.tables.layout import DELETED, VERSION, Layout, Merge, Stored
from refold.schemas.columns import envelope as m

Frames = Mapping[EventType, pl.DataFrame]
"""The events that count, by type, as `schemas.columns` decodes them."""

TIME_SHIFT = 1 << 62
"""Microseconds added to a time: every time becomes a positive number of 19 digits, so that texts sort as times do."""
_PADDING = 10**18  # added to a place, so that all have 19 digits: no stream has 10^15 events
_DELETED_AT = "m_deleted_at"
_EXACT = Context(prec=100)
_ORDER = (m.OCCURRED_AT, m.STREAM, PLACE)
_REJECTIONS_ORDER = (*_ORDER, m.OFFSET)  # several have one version


def partial_of(layout: Layout, frames: Frames) -> pl.DataFrame:
    """What the events add to the model: one row for each key, with all stored columns."""
    kept = _after_deletes(layout, frames)
    parts = [_of_type(layout, kind, kept[kind]) for kind in handled(layout.model) if kind in kept and kept[kind].height]
    return merged(layout, parts)


def merged(layout: Layout, partials: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Partials of one model as one, sorted by key. A column that is missing is the identity.

    A wide sum has two columns.
    """
    held = {name: dtype for part in layout.stored for name, dtype in _held(part).items()}
    if not partials:
        return pl.DataFrame(schema=held)
    rows = partials[0] if len(partials) == 1 else pl.concat(partials, how="diagonal")
    if len(partials) > 1 and not layout.appends:  # an event has one row, and is folded once
        rows = _by_key(layout, rows)
    present = set(rows.columns)
    starts = {name: _identity(part) for part in layout.stored for name in _held(part)}
    columns = [
        pl.col(name) if name in present else pl.lit(starts[name], dtype).alias(name) for name, dtype in held.items()
    ]
    nothing = [pl.col(part.name).fill_null(pl.lit([], part.held)) for part in layout.sets]
    return rows.select(columns).with_columns(nothing).sort(layout.key_names)


def _held(part: Stored) -> dict[str, pl.DataType]:
    """The columns of a partial that make up a stored column."""
    return {part.name: LIMB, low(part.name): LIMB} if part.is_wide else {part.name: part.held}


def _by_key(layout: Layout, rows: pl.DataFrame) -> pl.DataFrame:
    """Merge several partials' rows of one key; a single partial already has one row for each key."""
    if layout.deletes:
        rows = _since_last_delete(layout, rows)
    parts = [part for part in layout.columns if part not in layout.sets and part.name not in layout.picks]
    merges = [_merge(part, name).alias(name) for part in parts for name in _held(part) if name in rows.columns]
    return united(layout, rows, rows.group_by(layout.key_names).agg(merges))


def _merge(part: Stored, name: str) -> pl.Expr:
    value = pl.col(name)
    match part.merge:
        case Merge.ADD:
            return value.sum()
        case Merge.LEAST:
            return value.min()
        case Merge.GREATEST:
            return value.max()
        case Merge.EARLIER:
            return value.min_by(str(part.order))
        case Merge.LATER:
            return value.max_by(str(part.order))
        case Merge.REPLACE:
            return value.max_by(VERSION)
    raise TypeError(part.merge)  # sets are united by themselves, and what is picked from them is null


def _identity(part: Stored) -> int | None:
    return 0 if part.merge is Merge.ADD or part.name in (VERSION, DELETED) else None


def _since_last_delete(layout: Layout, rows: pl.DataFrame) -> pl.DataFrame:
    """Drop rows that a later delete of the same key ends; one partial never straddles a delete."""
    last = pl.col(DELETED).max().over(layout.key_names)
    return rows.filter((pl.col(DELETED) == last) | (pl.col(VERSION) > last))


def _after_deletes(layout: Layout, frames: Frames) -> Frames:
    """Only the events of each stream after its last delete."""
    model = layout.model
    if not isinstance(model, Entity) or model.deleted_when is None:
        return frames
    deletes = frames.get(EventType(model.category, model.deleted_when))
    if deletes is None or deletes.is_empty():
        return frames
    last = placed(deletes).group_by(m.STREAM).agg(pl.col(PLACE).max().alias(_DELETED_AT))
    return {
        kind: placed(frame)
        .join(last, on=m.STREAM, how="left")
        .filter(pl.col(_DELETED_AT).is_null() | (pl.col(PLACE) >= pl.col(_DELETED_AT)))
        .drop(_DELETED_AT)
        for kind, frame in frames.items()
    }


def _of_type(layout: Layout, kind: EventType, frame: pl.DataFrame) -> pl.DataFrame:
    """The addition of one type's events."""
    model = layout.model
    if isinstance(model, Rollup) and model.row_events is not None:
        return _row_each(layout, kind, with_rows(model, kind, frame))
    columns = {name: column for name, column in layout.gathers.items() if kind in column.of.types}
    if isinstance(model, Entity) and kind.event is model.deleted_when:
        columns = {}
    ordered = {name: column for name, column in columns.items() if column.gather in {"first", "last"}}
    if ordered or layout.deletes:
        frame = placed(frame)
    if ordered and isinstance(model, Rollup):
        # Drop unread columns: sorting moves every one. An entity's events are in order already.
        frame = frame.select(_read(model, kind, columns)).sort(_order_of(kind))
    keys = (
        [key_part(layout, kind, name, frame) for name in model.key]
        if isinstance(model, Rollup)
        else [pl.col(m.STREAM).alias(model.key_name)]
    )
    sets = {part.name for part in layout.sets}
    sums = [
        found for name, column in columns.items() if name not in sets for found in _gathered(layout, kind, name, column)
    ]
    found = frame.group_by(keys).agg(*sums, *_orders(kind, layout.gathers, ordered), *_versions(layout, kind))
    found = found.with_columns(_order_texts(layout, kind, found.columns)).select(_cast(layout, found.columns))
    return with_sets(layout, kind, frame, keys, found) if columns else found


def _row_each(layout: Layout, kind: EventType, frame: pl.DataFrame) -> pl.DataFrame:
    """A row for each event."""
    keys = [key_part(layout, kind, name, frame) for name in layout.key_names]
    columns = {name: column.value for name, column in layout.model.columns.items() if kind in column.of.types}
    cells = [value_of(kind, value).alias(name) for name, value in columns.items() if value is not None]
    found = frame.select(*keys, *cells)
    return found.select(_cast(layout, found.columns))


def with_rows(model: Rollup, kind: EventType, frame: pl.DataFrame) -> pl.DataFrame:
    """The events of one type that have a row in a rollup, with their places: in an event table those that fulfil its condition."""
    if model.row_events is None:
        return frame
    frame, condition = placed(frame), model.row_events.condition
    return frame if condition is None else frame.filter(condition_of(kind, condition))


def key_part(layout: Layout, kind: EventType, name: str, frame: pl.DataFrame) -> pl.Expr:
    """One part of a rollup's key, of a bounded length."""
    assert isinstance(layout.model, Rollup)
    value = layout.model.key[name].value
    if isinstance(value, ByEvent | TypeName):
        return word_of(kind, value).alias(name)
    if long_keys.bounded(layout, name) is None:
        return value_of(kind, value).alias(name)
    texts = frame[value.name] if isinstance(value, Field) else frame.select(value_of(kind, value)).to_series()
    return pl.lit(long_keys.bounded_column(texts, long_keys.most_bytes(layout))).alias(name)


def _order_of(kind: EventType) -> tuple[str, ...]:
    """The columns that order the events of one type."""
    return _REJECTIONS_ORDER if kind.is_rejection else _ORDER


def _read(model: Rollup, kind: EventType, columns: Mapping[str, Column]) -> list[str]:
    """The fields that a rollup reads of one type's events."""
    said = [*(part.value for part in model.key.values()), *(column.value for column in columns.values())]
    conditions = [column.of.condition for column in columns.values()]
    return sorted({*_order_of(kind), *(name for one in (*said, *conditions) for name in fields_of(one))})


def _gathered(layout: Layout, kind: EventType, name: str, column: Column) -> list[pl.Expr]:
    if column.value is None or not layout.part(name).is_wide:
        return [_gather(kind, name, column)]
    value = value_of(kind, column.value)
    if column.of.condition is not None:
        value = pl.when(condition_of(kind, column.of.condition)).then(value)
    high, low_ = limbs(value)
    return [high.sum().alias(name), low_.sum().alias(low(name))]


def _gather(kind: EventType, name: str, column: Column) -> pl.Expr:
    holds = None if column.of.condition is None else condition_of(kind, column.of.condition)
    if column.gather == "count":
        return (pl.len() if holds is None else holds.sum()).alias(name)
    assert column.value is not None
    value = value_of(kind, column.value)
    if column.gather in {"first", "last"}:
        if isinstance(column.value, ByEvent | TypeName):
            value = word_of(kind, column.value)
            return (value if holds is None else pl.when(holds.any()).then(value)).alias(name)
        value = value if holds is None else value.filter(holds)
        return (value.first() if column.gather == "first" else value.last()).alias(name)
    value = value if holds is None else pl.when(holds).then(value)
    if column.gather == "sum":
        return _exact(value, kind, column).sum().alias(name)
    return (value.min() if column.gather == "min" else value.max()).alias(name)


def _exact(value: pl.Expr, kind: EventType, column: Column) -> pl.Expr:
    """The values as a type that cannot wrap: 64 bits for a chunk of 32-bit numbers, decimals for all others."""
    assert column.value is not None
    found, _ = value_type(kind, column.value, "")
    if found == INTEGER:
        return value.cast(pl.Int64)
    return value.cast(pl.Decimal(38, 0)) if not isinstance(found.dtype, pl.Decimal) else value.cast(found.dtype)


def _orders(kind: EventType, all_columns: Mapping[str, Column], ordered: Mapping[str, Column]) -> list[pl.Expr]:
    """Time, stream and place of the event from which each first or last column took its value."""
    found: dict[str, list[pl.Expr]] = {}
    names = _order_of(kind)
    for column in ordered.values():
        order = str(order_column(column, all_columns.values()))
        holds = None if column.of.condition is None else condition_of(kind, column.of.condition)
        places = [pl.col(name) if holds is None else pl.col(name).filter(holds) for name in names]
        ends = [place.first() if column.gather == "first" else place.last() for place in places]
        found[order] = [end.alias(f"{order}{name}") for end, name in zip(ends, names, strict=True)]
    return [expr for exprs in found.values() for expr in exprs]


def _order_texts(layout: Layout, kind: EventType, present: Sequence[str]) -> list[pl.Expr]:
    """(occurred_at, category, stream, place) as a text that sorts alike here and in Postgres; entities: the place."""
    found = [part.name for part in layout.columns if f"{part.name}{PLACE}" in present]
    if isinstance(layout.model, Entity):
        return [pl.col(f"{name}{PLACE}").alias(name) for name in found]
    return [
        pl.concat_str(  # a blank sorts before every character of a name, a stream id or a number
            (pl.col(f"{name}m_occurred_at").cast(pl.Int64) + TIME_SHIFT).cast(pl.String),
            pl.lit(f" {kind.category.name} "),
            f"{name}m_stream",
            pl.lit(" 0"),
            _padded(f"{name}{PLACE}"),
            *([pl.lit(" 0"), _padded(f"{name}{m.OFFSET}")] if kind.is_rejection else []),
        ).alias(name)
        for name in found
    ]


def _padded(name: str) -> pl.Expr:
    """Numbers below 10^18 as texts of 18 digits; thrice as fast as `zfill`."""
    return (pl.col(name) + _PADDING).cast(pl.String).str.slice(1)


def _versions(layout: Layout, kind: EventType) -> list[pl.Expr]:
    if not layout.deletes:
        return []
    assert isinstance(layout.model, Entity)
    last = pl.col(PLACE).max()
    is_delete = kind.event is layout.model.deleted_when
    return [last.alias(VERSION), (last if is_delete else pl.lit(0, dtype=pl.Int64)).alias(DELETED)]


def _cast(layout: Layout, present: Sequence[str]) -> list[pl.Expr]:
    names = {part.name for part in layout.columns if part.name in present or f"{part.name}{PLACE}" in present}
    parts = [part for part in layout.stored if part.name in names or part in layout.keys]
    return [pl.col(name).cast(dtype) for part in parts for name, dtype in _held(part).items()]
