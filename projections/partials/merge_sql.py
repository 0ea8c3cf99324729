"""Merges partials in Postgres as `partial.merged` does: one statement adds a partial to a table."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import polars as pl
from psycopg import sql

from refold.projections.declaring.sql_types import TEXT
from refold.projections.partials.picked_rows import nulls_of, picking
from refold.projections.partials.value_sets import side_rows, without_sets
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
        sides = side_rows(layout, rows)
        if layout.deletes and layout.sets and any(rows[DELETED]):
            ended = [literal(rows[layout.key_names[0]]), literal(rows[DELETED])]
            for side in layout.sides:
                db.execute(_ending_arrays(layout, side, schema), ended)
        of_sides = dict(zip(layout.sides, sides, strict=True))
        values = [literal(of_sides[side][name]) for side in _sides(layout, Merge.UNION) for name in side.names]
        written = without_sets(layout, rows) if layout.picks else rows
        values += [literal(written[part.name]) for part in _written(layout)]
        db.execute(_from_arrays(layout, schema), values)
        for side in _sides(layout, Merge.COUNTED):
            db.execute(_from_arrays(side, schema), [literal(of_sides[side][name]) for name in side.names])
        if layout.picks:
            keys = [literal(rows[name]) for name in layout.key_names]
            for nulls in nulls_of([rows[name] for name in layout.key_names]):
                db.execute(_picking_arrays(layout, schema, nulls), keys)


def add_from(db: Database, layout: Layout, schema: str, suffix: str) -> None:
    """Merge the rows of other tables with the same columns, whose names have a suffix."""

    def beside(one: Layout) -> sql.Composable:
        return sql.Identifier(schema, f"{one.table_name}{suffix}")

    def rows(one: Layout, names: sql.Composable) -> sql.Composable:
        return sql.SQL("SELECT {} FROM {}").format(names, beside(one))

    for side in layout.sides if layout.deletes else ():
        db.execute(_ending(layout, side, schema, rows(layout, _identifiers([layout.key_names[0], DELETED]))))
    sides = [rows(side, _names(side)) for side in _sides(layout, Merge.UNION)]
    db.execute(_insert(layout, schema, rows(layout, _identifiers([part.name for part in _written(layout)])), sides))
    for side in _sides(layout, Merge.COUNTED):
        db.execute(_insert(side, schema, rows(side, _names(side)), []))
    if layout.picks:
        keys = rows(layout, _identifiers(layout.key_names))
        are_null = sql.SQL(", ").join(sql.SQL("{} IS NULL").format(sql.Identifier(name)) for name in layout.key_names)
        for nulls in db.execute(sql.SQL("SELECT DISTINCT {} FROM {}").format(are_null, beside(layout))).fetchall():
            db.execute(picking(layout, schema, keys, nulls))


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
    rows = pl.DataFrame(without_sets(layout, rows.to_dict()))
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
    sides = [_unnested(side.stored) for side in _sides(layout, Merge.UNION)]
    return _insert(layout, schema, _unnested(_written(layout)), sides).as_bytes()


@cache
def _ending_arrays(layout: Layout, side: Layout, schema: str) -> bytes:
    return _ending(layout, side, schema, _unnested([*layout.keys, layout.part(DELETED)])).as_bytes()


@cache
def _picking_arrays(layout: Layout, schema: str, nulls: tuple[bool, ...]) -> bytes:
    return picking(layout, schema, _unnested(layout.keys), nulls).as_bytes()


def _unnested(parts: Sequence[Stored]) -> sql.Composed:
    """Rows whose columns are parameters, an array for each."""
    casts = sql.SQL(", ").join(sql.SQL("%s::{}").format(sql.SQL(part.type.element + "[]")) for part in parts)
    return sql.SQL("SELECT * FROM unnest({}) AS partial({})").format(casts, _identifiers([part.name for part in parts]))


def _ending(layout: Layout, side: Layout, schema: str, rows: sql.Composable) -> sql.Composed:
    """Delete the values of rows that a partial's deletes end. A stream's events come in order, so what they end came before."""
    return sql.SQL(_ENDING).format(
        side=table(side, schema),
        rows=rows,
        main=table(layout, schema),
        key=sql.Identifier(layout.key_names[0]),
        deleted=sql.Identifier(DELETED),
        version=sql.Identifier(VERSION),
    )


def _insert(layout: Layout, schema: str, rows: sql.Composable, sides: Sequence[sql.Composable]) -> sql.Composed:
    insert = sql.SQL("INSERT INTO {} AS t ({}) {}").format(
        table(layout, schema), _names(layout), _with_numbers(layout, rows) if sides else rows
    )
    if sides:
        insert = sql.SQL("WITH {} {}").format(_new_values(layout, schema, sides), insert)
    if layout.appends:  # an event that is added twice is a defect: its key is there, and Postgres refuses it
        return insert
    return sql.SQL("{} ON CONFLICT ({}) DO UPDATE SET {}").format(
        insert,
        sql.SQL(", ").join(map(sql.Identifier, layout.key_names)),
        sql.SQL(", ").join(_assignment(layout, part) for part in layout.columns),
    )


def _new_values(layout: Layout, schema: str, sides: Sequence[sql.Composable]) -> sql.Composed:
    """Add values to the side tables, and count by row those that were new: in the statement that writes the rows, so each is written once."""
    keys = _identifiers(layout.key_names)
    return sql.SQL(", ").join(
        sql.SQL(_NEW).format(**_counts(side), side=table(side, schema), names=_names(side), values=values, keys=keys)
        for side, values in zip(_sides(layout, Merge.UNION), sides, strict=True)
    )


def _with_numbers(layout: Layout, rows: sql.Composable) -> sql.Composed:
    """The rows of a partial, each with the number of its new values. Keys are compared as records, which treat nulls as equal."""
    # With the collation of the tables: records of texts are equal only under one.
    collated = {part.name: sql.SQL(' COLLATE "C"' if part.type == TEXT else "") for part in layout.keys}
    of_row = sql.SQL(", ").join(sql.SQL("{}{}").format(sql.Identifier("p", name), c) for name, c in collated.items())
    join = sql.SQL("LEFT JOIN {number} ON {number}.key = ROW({row})")
    counts = {
        part.name: _counts(side)["number"]
        for part, side in zip(layout.sets, layout.sides, strict=True)
        if part.merge is Merge.UNION
    }
    columns = [
        sql.SQL("coalesce({}.number, 0)").format(counts[name]) if name in counts else sql.Identifier("p", name)
        for name in layout.names
    ]
    return sql.SQL("SELECT {} FROM ({}) p {}").format(
        sql.SQL(", ").join(columns),
        rows,
        sql.SQL(" ").join(join.format(number=number, row=of_row) for number in counts.values()),
    )


def _counts(side: Layout) -> dict[str, sql.Identifier]:
    return {"new": sql.Identifier(f"New{side.side}"), "number": sql.Identifier(f"Number{side.side}")}


def _names(layout: Layout) -> sql.Composed:
    return _identifiers(layout.names)


def _written(layout: Layout) -> list[Stored]:
    """The columns that a partial gives, without the numbers of new values, which the side tables tell."""
    return [part for part in layout.stored if part.merge is not Merge.UNION]


def _sides(layout: Layout, merge: Merge) -> list[Layout]:
    """The side tables of the sets that merge so."""
    return [side for part, side in zip(layout.sets, layout.sides, strict=True) if part.merge is merge]


def _identifiers(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


_NEW = """
    {new} AS (INSERT INTO {side} ({names}) {values} ON CONFLICT ({names}) DO NOTHING RETURNING {keys}),
    {number} AS (SELECT ROW({keys}) AS key, count(*) AS number FROM {new} GROUP BY {keys})
"""
_ENDING = """
    DELETE FROM {side} s USING ({rows}) p JOIN {main} t ON t.{key} = p.{key}
     WHERE s.{key} = p.{key} AND p.{deleted} > t.{version}
"""


_RULES = {
    Merge.ADD: "t.{c} + excluded.{c}",
    Merge.UNION: "t.{c} + excluded.{c}",  # the number of values that were new
    Merge.COUNTED: "t.{c} + excluded.{c}",
    Merge.PICK: "t.{c}",  # until it is picked again
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
