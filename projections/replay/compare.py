"""Compares two tables of one declaration row by row at one position: counts rows by key, and names those that differ.

Invariant: the tables are equal exactly if nothing differs. Rows are compared in all columns, hidden ones too, since
those decide later merges, and byte by byte (equal numbers with other digits differ). A row without a key matches no row
of the other table.
"""

from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from refold.projections.replay import side_values
from refold.projections.tables import names
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout
from refold.streams.postgres.connection import Database

LISTED = 1000
"""Most rows that are named as different; all of them are counted."""
Text = str | None

_FURTHER = """
    t.{key} NOT IN (SELECT p.stream FROM refold.parked p WHERE p.build = {theirs} AND NOT EXISTS (
        SELECT FROM refold.parked o WHERE (o.build, o.category, o.stream) = ({ours}, p.category, p.stream)
           AND o.first_offset <= p.first_offset))
"""
# Authors' names are always qualified by their table's alias, so none is taken for one of these.
_STATEMENT = """
    WITH differing AS MATERIALIZED (
        SELECT a.place AS ours, b.place AS theirs, a.digests AS our_digests, b.digests AS their_digests
          FROM (SELECT {side}, t.ctid AS place FROM {ours} t {our_values} WHERE {counts}) a
          FULL JOIN (SELECT {side}, t.ctid AS place FROM {theirs} t {their_values} WHERE {counts}) b ON {same_key}
         WHERE a.place IS NULL OR b.place IS NULL OR NOT (a.whole *= b.whole)
    ), rows AS MATERIALIZED (
        SELECT d.ours IS NOT NULL AS in_ours, d.theirs IS NOT NULL AS in_theirs, {a_texts} AS ours, {b_texts} AS theirs,
               {either_key} AS key
          FROM differing d LEFT JOIN {ours} a ON a.ctid = d.ours LEFT JOIN {theirs} b ON b.ctid = d.theirs
    )
    SELECT (SELECT count(*) FROM {ours}), (SELECT count(*) FROM {theirs}),
           count(*) FILTER (WHERE r.in_ours AND r.in_theirs), count(*) FILTER (WHERE NOT r.in_theirs),
           count(*) FILTER (WHERE NOT r.in_ours),
           (SELECT array_agg(n.number ORDER BY n.place) FROM (
                SELECT p.place, count(*) FILTER (WHERE c.in_ours AND c.in_theirs
                                                   AND c.ours[p.place] IS DISTINCT FROM c.theirs[p.place]) AS number
                  FROM rows c, generate_series(1, {width}) AS p(place) GROUP BY p.place) n),
           (SELECT json_agg(json_build_array(l.in_theirs, l.in_ours, l.theirs, l.ours)) FROM (
                SELECT * FROM rows l ORDER BY l.key LIMIT {listed}) l)
      FROM rows r
"""


@dataclass(frozen=True)
class Difference:
    """A row that differs: its key, and for each column that differs the served value and the log's value.

    `kind`: changed; missing (only the log gives the row); extra (only the served table has it).
    """

    key: dict[str, Text]
    kind: str
    columns: dict[str, tuple[Text, Text]]


class Differing:
    """Counts rows that differ between two tables, each once."""

    changed: int
    missing: int
    extra: int

    @property
    def differing(self) -> int:
        """Number of rows that differ."""
        return self.changed + self.missing + self.extra


@dataclass(frozen=True)
class Compared(Differing):
    """Counts of rebuilt and served rows, and the rows that differ. `columns`: in how many rows each column differs."""

    rows: int
    served: int
    changed: int
    missing: int
    extra: int
    columns: dict[str, int] = field(default_factory=dict)
    listed: list[Difference] = field(default_factory=list)


def compare(db: Database, layout: Layout, shadow: Build, serving: Build) -> Compared:
    """Compare both tables in one snapshot, without streams whose events `evolve` left out of the serving one alone."""
    with db.transaction():
        db.execute("SET LOCAL work_mem = '256MB'")
        row = db.execute(_statement(layout, shadow, serving)).fetchone()
    assert row is not None
    rows, served, changed, missing, extra, numbers, listed = row
    names = layout.names
    columns = {name: number for name, number in zip(names, numbers or [0] * len(names), strict=True) if number}
    return Compared(
        rows, served, changed, missing, extra, columns, [difference(layout, names, *one) for one in listed or ()]
    )


def has_rows(db: Database, source: sql.Composable) -> bool:
    """Whether a table has any row; False if it cannot be read."""
    try:
        with db.transaction():
            return db.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(source)).fetchone() is not None
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return False


def _statement(layout: Layout, shadow: Build, serving: Build) -> sql.Composed:
    ours, theirs = (names.table(layout, build.schema) for build in (shadow, serving))
    further = sql.SQL(_FURTHER).format(
        key=sql.Identifier(layout.key_names[0]), ours=shadow.number, theirs=serving.number
    )
    return sql.SQL(_STATEMENT).format(
        ours=ours,
        theirs=theirs,
        counts=further if layout.evolves else sql.SQL("true"),
        side=sql.SQL("{}, ROW({}, {digests}) AS whole, {digests} AS digests").format(
            _keys(layout), _columns(layout, "t"), digests=side_values.digests_joined(layout)
        ),
        our_values=side_values.joined(layout, shadow),
        their_values=side_values.joined(layout, serving),
        same_key=_same_key(layout),
        a_texts=side_values.texts(layout, "a", sql.SQL("d.our_digests")),
        b_texts=side_values.texts(layout, "b", sql.SQL("d.their_digests")),
        either_key=either_key(layout),
        width=sql.Literal(len(layout.stored)),
        listed=sql.Literal(LISTED),
    )


def _keys(layout: Layout) -> sql.Composed:
    """Key columns by number.

    Nullable ones are compared as one record, since records treat nulls as equal and can be joined.
    """
    if not all(part.required for part in layout.keys):
        return sql.SQL("ROW({}) AS key").format(_columns(layout, "t", keys=True))
    return sql.SQL(", ").join(
        sql.SQL("t.{} AS {}").format(sql.Identifier(name), sql.Identifier(f"key{number}"))
        for number, name in enumerate(layout.key_names)
    )


def _same_key(layout: Layout) -> sql.Composable:
    if not all(part.required for part in layout.keys):
        return sql.SQL("a.key = b.key")
    return sql.SQL(" AND ").join(
        sql.SQL("a.{0} = b.{0}").format(sql.Identifier(f"key{number}")) for number in range(len(layout.keys))
    )


def _columns(layout: Layout, alias: str, *, keys: bool = False) -> sql.Composed:
    parts = layout.keys if keys else layout.stored
    return sql.SQL(", ").join(sql.Identifier(alias, part.name) for part in parts)


def either_key(layout: Layout) -> sql.Composed:
    """The key of `a`, or of `b` where there is no `a`, as one record: in its order rows are listed, whichever side has them."""
    parts = [sql.SQL("coalesce(a.{0}, b.{0})").format(sql.Identifier(name)) for name in layout.key_names]
    return sql.SQL("ROW({})").format(sql.SQL(", ").join(parts))


def difference(
    layout: Layout,
    names: list[str],
    in_theirs: bool,  # noqa: FBT001 - as the statement gives them
    in_ours: bool,  # noqa: FBT001 - as above
    theirs: list[Text],
    ours: list[Text],
) -> Difference:
    """A row that differs, from the texts of both sides' stored columns (`names`)."""
    there = dict(zip(names, ours if in_ours else theirs, strict=True))
    sets = {part.name for part in layout.sets}
    columns = {
        name: side_values.told(served, log) if name in sets else (served, log)
        for name, served, log in zip(names, theirs, ours, strict=True)
        if served != log and name not in layout.key_names
    }
    kind = "changed" if in_ours and in_theirs else "missing" if in_ours else "extra"
    return Difference({name: there[name] for name in layout.key_names}, kind, columns)
