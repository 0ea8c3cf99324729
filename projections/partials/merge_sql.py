"""Merges partials in Postgres as `partial.merged` does: one statement adds a partial to a table."""

from collections.abc import Callable, Mapping
from functools import cache

import polars as pl
from psycopg import sql

from refold.projections.partials.wide_sums import Partial, Values, writable
from refold.projections.tables.layout import DELETED, VERSION, Layout, Merge, Stored
from refold.projections.tables.names import table
from refold.streams.postgres.arrays import literal
from refold.streams.postgres.connection import Database, Statements

SLICE_ROWS = 100_000
"""Rows that COPY sends at once."""


def add(db: Statements, layout: Layout, schema: str, partial: Partial) -> None:
    """Merge a partial, sorted by key, into the model's table. Raises SumOverflow."""
    if not len(partial[layout.key_names[0]]):
        return
    for rows in writable(layout, partial):
        db.execute(_from_arrays(layout, schema), [literal(rows[part.name]) for part in layout.stored])


def add_from(db: Database, layout: Layout, schema: str, source: sql.Composable) -> None:
    """Merge the rows of another table with the same columns."""
    rows = sql.SQL("SELECT {} FROM {}").format(_names(layout), source)
    db.execute(_insert(layout, schema, rows))


def copy(
    db: Database,
    layout: Layout,
    target: sql.Composable,
    rows: pl.DataFrame | Mapping[str, Values],
    slice_rows: int = SLICE_ROWS,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Append rows of the stored columns (`wide_sums.writable`) by COPY, without merging.

    `between`: called after each slice of so many rows.
    """
    rows = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows)
    if rows.is_empty():
        return
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, NULL '')").format(target, _names(layout))
    with db.cursor() as cursor, cursor.copy(statement) as out:
        for part in rows.select(part.name for part in layout.stored).iter_slices(slice_rows):
            text = part.write_csv(
                include_header=False,
                null_value="",
                quote_style="necessary",  # an empty text is quoted, so no text looks like a null
                datetime_format="%Y-%m-%d %H:%M:%S%.6f+00",
            )
            out.write(text.encode())
            between()


@cache
def _from_arrays(layout: Layout, schema: str) -> bytes:
    """The statement as bytes: composing it again costs more than sending it."""
    casts = sql.SQL(", ").join(sql.SQL("%s::{}").format(sql.SQL(part.type.element + "[]")) for part in layout.stored)
    rows = sql.SQL("SELECT * FROM unnest({}) AS partial({})").format(casts, _names(layout))
    return _insert(layout, schema, rows).as_bytes()


def _insert(layout: Layout, schema: str, rows: sql.Composable) -> sql.Composed:
    insert = sql.SQL("INSERT INTO {} AS t ({}) {}").format(table(layout, schema), _names(layout), rows)
    if layout.appends:  # an event that is added twice is a defect: its key is there, and Postgres refuses it
        return insert
    return sql.SQL("{} ON CONFLICT ({}) DO UPDATE SET {}").format(
        insert,
        sql.SQL(", ").join(map(sql.Identifier, layout.key_names)),
        sql.SQL(", ").join(_assignment(layout, part) for part in layout.columns),
    )


def _names(layout: Layout) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(part.name) for part in layout.stored)


_RULES = {
    Merge.ADD: "t.{c} + excluded.{c}",
    Merge.LEAST: "least(t.{c}, excluded.{c})",
    Merge.GREATEST: "greatest(t.{c}, excluded.{c})",
    Merge.EARLIER: "CASE WHEN t.{o} IS NULL OR excluded.{o} < t.{o} THEN excluded.{c} ELSE t.{c} END",
    Merge.LATER: "CASE WHEN t.{o} IS NULL OR excluded.{o} > t.{o} THEN excluded.{c} ELSE t.{c} END",
    Merge.REPLACE: "CASE WHEN excluded.{v} >= t.{v} THEN excluded.{c} ELSE t.{c} END",
}


def _assignment(layout: Layout, part: Stored) -> sql.Composed:
    names = {"c": sql.Identifier(part.name), "o": sql.Identifier(part.order or ""), "v": sql.Identifier(VERSION)}
    names = {k: v for k, v in names.items() if f"{{{k}}}" in _RULES[part.merge]}
    rule = sql.SQL(_RULES[part.merge]).format(**names)
    if layout.deletes and part.name not in (VERSION, DELETED):
        rule = sql.SQL(
            "CASE WHEN excluded.{d} > t.{v} THEN excluded.{c} WHEN t.{d} >= excluded.{v} THEN t.{c} ELSE {rule} END"
        ).format(d=sql.Identifier(DELETED), v=sql.Identifier(VERSION), c=sql.Identifier(part.name), rule=rule)
    return sql.SQL("{} = {}").format(sql.Identifier(part.name), rule)
