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
from refold.projections.tables.layout import Layout, Merge, Stored
from refold.projections.tables.picked import COUNT, VALUE, picked_of, picking, total_of
from refold.schemas.columns import envelope as m

MOST_BYTES = 400
"""Most bytes (UTF-8) of a text that is counted as it is; longer ones are counted by a stand-in, as in keys.

With the key before it, a value still fits an index row of Postgres.
"""
_BESIDE, _HOLDS, _ROW = " beside", " holds", " row"  # the blanks keep them apart from authors' names


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
    pairs = pairs.drop_nulls(part.name).group_by(pl.all()).agg(pl.len().cast(pl.Int64).alias(COUNT))
    if part.members == TEXT:
        pairs = pairs.with_columns(bounded_column(pairs[part.name], MOST_BYTES).alias(part.name))
    return _listed(layout, pairs, part)


def united(layout: Layout, rows: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """The merged rows (`found`) with the unions of the sets of several partials' rows."""
    for part in layout.sets:
        if part.name in rows.columns:
            pairs = _exploded(rows.select(*layout.key_names, part.name), part)
            if part.merge is Merge.COUNTED:
                pairs = pairs.group_by(*layout.key_names, part.name).agg(pl.col(COUNT).sum())
            found = _joined(layout, found, _listed(layout, pairs.unique(), part))
    return found


def _exploded(rows: pl.DataFrame, part: Stored) -> pl.DataFrame:
    """A row for each value of each row, with its number if the values are counted."""
    pairs = rows.explode(part.name).drop_nulls(part.name)
    if part.merge is Merge.COUNTED:
        value, number = (pl.col(part.name).struct.field(name) for name in (VALUE, COUNT))
        pairs = pairs.with_columns(value.alias(part.name), number.alias(COUNT))
    return pairs


def _listed(layout: Layout, pairs: pl.DataFrame, part: Stored) -> pl.DataFrame:
    value = pl.col(part.name)
    if part.merge is Merge.COUNTED:
        value = pl.struct(value.alias(VALUE), COUNT).alias(part.name)
    return pairs.sort(part.name).group_by(layout.key_names).agg(value)


def _joined(layout: Layout, found: pl.DataFrame, sets: pl.DataFrame) -> pl.DataFrame:
    return found.join(sets, on=layout.key_names, how="left", nulls_equal=True)


def bounded_by(layout: Layout, name: str) -> Bounded | None:
    """The function that bounds the values of a column's set; None if they are no texts."""
    return _bounded if layout.part(name).members == TEXT else None


def _bounded(text: str | None) -> str | None:
    return bounded_text(text, MOST_BYTES)


def without_sets(layout: Layout, rows: Mapping[str, Values]) -> Mapping[str, Values]:
    """The rows with the number of each set's values, and with what is picked from them."""
    found = dict(rows)
    for part in layout.sets:
        held = rows[part.name]
        picks = {name: pick for name, pick in layout.picks.items() if layout.part(name).order == part.name}
        if isinstance(held, pl.Series):
            found |= _picked(held, part, {name: picking(pick) for name, pick in picks.items()})
        elif part.merge is Merge.COUNTED:
            found |= {name: [picked_of(pick, some) for some in held] for name, pick in picks.items()}
            found[part.name] = [total_of(some) for some in held]
        else:
            found[part.name] = list(map(len, held))
    return found


def _picked(held: pl.Series, part: Stored, picks: Mapping[str, pl.Expr]) -> dict[str, pl.Series]:
    """The number of each row's values, and what is picked from them. The values of a row are in order."""
    if part.merge is not Merge.COUNTED:
        return {part.name: held.list.len().cast(part.type.dtype)}
    rows = pl.DataFrame({_ROW: pl.int_range(held.len(), eager=True), part.name: held})
    pairs = _exploded(rows, part).rename({part.name: VALUE})
    found = pairs.group_by(_ROW).agg(
        pl.col(COUNT).sum().alias(part.name), *(pick.alias(name) for name, pick in picks.items())
    )
    joined = rows.select(_ROW).join(found, on=_ROW, how="left", maintain_order="left").drop(_ROW)
    return joined.with_columns(pl.col(part.name).fill_null(0)).to_dict()


def side_rows(layout: Layout, rows: Mapping[str, Values]) -> list[Mapping[str, Values]]:
    """The rows of each side table, of rows of the stored columns: a row for each value of a set."""
    return [_side_rows(layout, rows, part) for part in layout.sets]


def _side_rows(layout: Layout, rows: Mapping[str, Values], part: Stored) -> Mapping[str, Values]:
    values, keys = rows[part.name], layout.key_names
    if isinstance(values, pl.Series):
        exploded = _exploded(pl.DataFrame({key: rows[key] for key in keys} | {part.name: values}), part)
        return exploded.rename({part.name: VALUE}).to_dict()
    places = [place for place, some in enumerate(values) for _ in some]
    found: dict[str, Values] = {key: [rows[key][place] for place in places] for key in keys}
    members = [value for some in values for value in some]
    if part.merge is not Merge.COUNTED:
        return found | {VALUE: members}
    return found | {name: [one[name] for one in members] for name in (VALUE, COUNT)}
