"""The sets of values of which a column shows the number: as lists in a partial, and as rows of the tables beside a model's.

A partial holds each row's values, so any two partials merge by union, whatever values they share. Postgres holds a row for
each value; only values that it lacked add to the number.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from refold.projections.declaring.declaration import EventType
from refold.projections.declaring.gathering import Column
from refold.projections.declaring.sql_types import TEXT
from refold.projections.partials.column_values import condition_of, value_of
from refold.projections.partials.long_keys import Bounded, bounded_column, bounded_text
from refold.projections.partials.wide_sums import Values
from refold.projections.tables.layout import VALUE, Layout, Stored
from refold.schemas.columns import envelope as m

MOST_BYTES = 400
"""Most bytes (UTF-8) of a text that is counted as it is; longer ones are counted by a stand-in, as in keys.

With the key before it, a value still fits an index row of Postgres.
"""
_BESIDE, _HOLDS = " beside", " holds"  # the blanks keep them apart from authors' names


def with_sets(
    layout: Layout, kind: EventType, frame: pl.DataFrame, keys: Sequence[pl.Expr], found: pl.DataFrame
) -> pl.DataFrame:
    """The partial of one type's events with its sets. `keys`: the key of each event; `found`: the partial without sets."""
    for part in layout.sets:
        column = layout.gathers[part.name]
        if kind in column.of.types:
            found = _joined(layout, found, _gathered(layout, kind, frame, keys, part, column))
    return found


def _gathered(
    layout: Layout, kind: EventType, frame: pl.DataFrame, keys: Sequence[pl.Expr], part: Stored, column: Column
) -> pl.DataFrame:
    """A row for each key with its different values."""
    assert column.value is not None
    assert part.members is not None
    condition = column.of.condition
    # With the stream beside it: a key or a value may be the same word for all events.
    pairs = frame.select(
        pl.col(m.STREAM).alias(_BESIDE),
        *keys,
        value_of(kind, column.value).cast(part.members.dtype).alias(part.name),
        (pl.lit(value=True) if condition is None else condition_of(kind, condition)).alias(_HOLDS),
    ).filter(_HOLDS)
    pairs = pairs.select(*(pl.col(one.name).cast(one.type.dtype) for one in layout.keys), part.name)
    pairs = pairs.drop_nulls(part.name).unique()
    if part.members == TEXT:
        pairs = pairs.with_columns(bounded_column(pairs[part.name], MOST_BYTES).alias(part.name))
    return _listed(layout, pairs, part)


def united(layout: Layout, rows: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """The merged rows (`found`) with the unions of the sets of several partials' rows."""
    for part in layout.sets:
        if part.name in rows.columns:
            pairs = rows.select(*layout.key_names, part.name).explode(part.name).drop_nulls(part.name).unique()
            found = _joined(layout, found, _listed(layout, pairs, part))
    return found


def _listed(layout: Layout, pairs: pl.DataFrame, part: Stored) -> pl.DataFrame:
    return pairs.sort(part.name).group_by(layout.key_names).agg(part.name)


def _joined(layout: Layout, found: pl.DataFrame, sets: pl.DataFrame) -> pl.DataFrame:
    return found.join(sets, on=layout.key_names, how="left", nulls_equal=True)


def bounded_by(layout: Layout, name: str) -> Bounded | None:
    """The function that bounds the values of a column's set; None if they are no texts."""
    return _bounded if layout.part(name).members == TEXT else None


def _bounded(text: str | None) -> str | None:
    return bounded_text(text, MOST_BYTES)


def without_sets(layout: Layout, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with the number of each set's values."""
    return rows.with_columns(pl.col(part.name).list.len().cast(part.type.dtype) for part in layout.sets)


def side_rows(layout: Layout, rows: Mapping[str, Values]) -> list[Mapping[str, Values]]:
    """The rows of each side table, of rows of the stored columns: a row for each value of a set."""
    return [_side_rows(layout, rows, part.name) for part in layout.sets]


def _side_rows(layout: Layout, rows: Mapping[str, Values], name: str) -> Mapping[str, Values]:
    values, keys = rows[name], layout.key_names
    if isinstance(values, pl.Series):
        frame = pl.DataFrame({key: rows[key] for key in keys} | {VALUE: values})
        exploded = frame.explode(VALUE).drop_nulls(VALUE)
        return {column: exploded[column] for column in (*keys, VALUE)}
    places = [place for place, some in enumerate(values) for _ in some]
    found: dict[str, Values] = {key: [rows[key][place] for place in places] for key in keys}
    return found | {VALUE: [value for some in values for value in some]}
