"""Compares what readers see of a model with the rows of a build of another declaration, in the columns that both have.

Invariant: only what readers see counts, since the hidden columns of two declarations mean different things. A value
differs if its bytes do. A row is matched by its key, so both must have the key columns, with the same types.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg import sql

from refold.projections.replay.compare import LISTED, Compared, difference
from refold.projections.tables import tables
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout
from refold.streams.postgres.connection import Database

_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
     WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
# Authors' names are always qualified by their table's alias, so none is taken for one of these.
_STATEMENT = """
    WITH rows AS MATERIALIZED (
        SELECT a.there IS NOT NULL AS in_ours, b.there IS NOT NULL AS in_theirs, {a_texts} AS ours, {b_texts} AS theirs,
               coalesce(a.key, b.key) AS key
          FROM (SELECT {side} FROM (SELECT * FROM {ours}) t) a
          FULL JOIN (SELECT {side} FROM (SELECT * FROM {theirs}) t) b ON {same_key}
         WHERE a.there IS NULL OR b.there IS NULL OR NOT (a.whole *= b.whole)
    )
    SELECT count(*) FILTER (WHERE r.in_ours AND r.in_theirs), count(*) FILTER (WHERE NOT r.in_theirs),
           count(*) FILTER (WHERE NOT r.in_ours),
           (SELECT array_agg(n.number ORDER BY n.place) FROM (
                SELECT p.place, count(*) FILTER (WHERE c.in_ours AND c.in_theirs
                                                   AND c.ours[p.place] IS DISTINCT FROM c.theirs[p.place]) AS number
                  FROM rows c, generate_series(1, {width}) AS p(place) GROUP BY p.place) n),
           (SELECT json_agg(json_build_array(l.in_theirs, l.in_ours, l.theirs, l.ours)) FROM (
                SELECT * FROM rows l ORDER BY l.key LIMIT {listed}) l)
      FROM rows r
"""
Types = dict[str, str]
"""The Postgres type of each column, in the columns' order."""


@dataclass(frozen=True)
class Columns:
    """How the columns change: those added and removed with their types, and the served and the new type of the others."""

    added: Types = field(default_factory=Types)
    removed: Types = field(default_factory=Types)
    retyped: dict[str, tuple[str, str]] = field(default_factory=dict)
    same: list[str] = field(default_factory=list)

    @property
    def change(self) -> bool:
        """Whether any column is added, removed or retyped."""
        return bool(self.added or self.removed or self.retyped)


def columns_of(db: Database, layout: Layout, build: Build) -> Columns:
    """The columns that readers see of the model now, beside those of the build."""
    served = _types(db, sql.Identifier(build.domain, build.model))
    there = _types(db, sql.Identifier(build.schema, build.model))
    new = {part.name: there[part.name] for part in layout.shown}
    return Columns(
        {name: kind for name, kind in new.items() if name not in served},
        {name: kind for name, kind in served.items() if name not in new},
        {name: (served[name], kind) for name, kind in new.items() if served.get(name, kind) != kind},
        [name for name, kind in new.items() if served.get(name) == kind],
    )


def row_counts(db: Database, layout: Layout, build: Build, theirs: sql.Composable | None = None) -> tuple[int, int]:
    """Number of rows that readers would see, and of those that they see now (or `theirs`); 0 if they see no table."""
    return _count(db, tables.shown_rows(layout, build)), _count(db, theirs or _view(build))


def compare_shown(
    db: Database, layout: Layout, build: Build, columns: Sequence[str], theirs: sql.Composable | None = None
) -> Compared:
    """Compare the build with what readers see, or with other rows (`theirs`), in these columns, the key among them.

    Rows of streams that wait for one side alone are compared too: readers would see them change.
    """
    with db.transaction():
        db.execute("SET LOCAL work_mem = '256MB'")
        row = db.execute(_statement(layout, build, columns, theirs or _view(build))).fetchone()
    assert row is not None
    changed, missing, extra, numbers, listed = row
    rows, served = row_counts(db, layout, build, theirs)
    differing = {name: number for name, number in zip(columns, numbers or [0] * len(columns), strict=True) if number}
    return Compared(
        rows, served, changed, missing, extra, differing, [difference(layout, list(columns), *one) for one in listed or ()]
    )  # fmt: skip


def _view(build: Build) -> sql.Identifier:
    return sql.Identifier(build.domain, build.model)


def _statement(layout: Layout, build: Build, columns: Sequence[str], theirs: sql.Composable) -> sql.Composed:
    whole = sql.SQL(", ").join(sql.Identifier("t", name) for name in columns)
    keys = sql.SQL(", ").join(sql.Identifier("t", name) for name in layout.key_names)
    parts = [sql.SQL("t.{} AS {}").format(sql.Identifier(name), _part(n)) for n, name in enumerate(columns)]
    # Records are joined, since they treat nulls as equal: either declaration may allow a null in a key.
    side = [sql.SQL("true AS there, ROW({}) AS key, ROW({}) AS whole").format(keys, whole), *parts]
    return sql.SQL(_STATEMENT).format(
        ours=tables.shown_rows(layout, build),
        theirs=theirs,
        side=sql.SQL(", ").join(side),
        same_key=sql.SQL("a.key = b.key"),
        a_texts=_texts("a", len(columns)),
        b_texts=_texts("b", len(columns)),
        width=sql.Literal(len(columns)),
        listed=sql.Literal(LISTED),
    )


def _part(number: int) -> sql.Identifier:
    return sql.Identifier(f"c{number}")


def _texts(alias: str, width: int) -> sql.Composed:
    parts = [sql.SQL("{}.{}::text").format(sql.Identifier(alias), _part(number)) for number in range(width)]
    return sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(parts))


def _types(db: Database, name: sql.Identifier) -> Types:
    return dict(db.execute(_COLUMNS, (name.as_string(),)).fetchall())


def _count(db: Database, source: sql.Composable) -> int:
    text = source.as_string()
    if isinstance(source, sql.Identifier) and db.execute("SELECT to_regclass(%s)", (text,)).fetchone() == (None,):
        return 0
    row = db.execute(sql.SQL("SELECT count(*) FROM {}").format(source)).fetchone()
    assert row is not None
    return int(row[0])
