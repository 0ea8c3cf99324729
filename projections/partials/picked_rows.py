"""Picks again the quantiles and most common values of rows in Postgres whose counted values have changed."""

from collections.abc import Iterable, Sequence

import polars as pl
from psycopg import sql

from refold.projections.partials.wide_sums import Values
from refold.projections.tables.layout import Layout, Stored
from refold.projections.tables.names import same_key, table
from refold.projections.tables.picked import COUNT, VALUE, picking_sql

Nulls = tuple[bool, ...]
"""Which parts of a key are null."""
_PICK = """
    UPDATE {main} t SET ({names}) = ROW({new})
      FROM (SELECT t.ctid AS "Place", {picked} FROM ({keys}) p JOIN {main} t ON {same} {of_sides}) f
     WHERE t.ctid = f."Place" AND ROW({old}) IS DISTINCT FROM ROW({new})
"""
_OF_SIDE = """
    CROSS JOIN LATERAL (SELECT {picks} FROM
        (SELECT s.{value}, s.{count}, sum(s.{count}) OVER (ORDER BY s.{value}) AS reached, sum(s.{count}) OVER () AS total
           FROM {side} s WHERE {same}) v) {name}
"""


def picking(layout: Layout, schema: str, keys: sql.Composable, nulls: Nulls) -> sql.Composed:
    """The statement that picks again in rows of which these parts of the key are null. `keys`: a query of keys.

    Invariant: it runs behind the statement that wrote the same rows, and so locked them. So it sees the values of each
    transaction that wrote them before, and one that writes them later sees these.
    """
    names = [part.name for part in layout.columns if part.name in layout.picks]
    of_names = {name: layout.sides[layout.sets.index(layout.part(str(layout.part(name).order)))] for name in names}
    return sql.SQL(_PICK).format(
        main=table(layout, schema),
        names=_listed(sql.Identifier(name) for name in names),
        new=_listed(sql.Identifier("f", name) for name in names),
        old=_listed(sql.Identifier("t", name) for name in names),
        picked=_listed(sql.Identifier(_name(side), name) for name, side in of_names.items()),
        keys=keys,
        same=same_key(layout, nulls, "t", "p"),
        of_sides=sql.SQL(" ").join(
            _of_side(layout, part, side, schema, nulls)
            for part, side in zip(layout.sets, layout.sides, strict=True)
            if side in of_names.values()
        ),
    )


def nulls_of(keys: Sequence[Values]) -> list[Nulls]:
    """The different places of nulls among keys, of which each part is a column."""
    if all(isinstance(part, pl.Series) for part in keys):
        found = pl.DataFrame([pl.Series(str(place), part).is_null() for place, part in enumerate(keys)])
        return found.unique().rows()
    return list({tuple(part is None for part in key) for key in zip(*keys, strict=True)})


def _of_side(layout: Layout, part: Stored, side: Layout, schema: str, nulls: Nulls) -> sql.Composed:
    picks = {name: pick for name, pick in layout.picks.items() if layout.part(name).order == part.name}
    return sql.SQL(_OF_SIDE).format(
        picks=_listed(
            sql.SQL("{} AS {}").format(picking_sql(pick), sql.Identifier(name)) for name, pick in picks.items()
        ),
        value=sql.Identifier(VALUE),
        count=sql.Identifier(COUNT),
        side=table(side, schema),
        same=same_key(layout, nulls, "s", "t"),
        name=sql.Identifier(_name(side)),
    )


def _name(side: Layout) -> str:
    return f"Picked{side.side}"


def _listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
