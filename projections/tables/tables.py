"""A model's table and view in Postgres: the layout makes the table; the view points at it and outlives each build."""

from collections.abc import Mapping, Sequence

from psycopg import sql

from refold.projections.declaring.declaration import View
from refold.projections.declaring.served_types import served_type
from refold.projections.tables import view_swap
from refold.projections.tables.builds import Build
from refold.projections.tables.derived import Derived, expression
from refold.projections.tables.layout import DELETED, VERSION, Layout, Stored
from refold.projections.tables.memories import memories_of
from refold.projections.tables.names import table
from refold.projections.tables.view_swap import Name
from refold.streams.access_settings import ACCESS
from refold.streams.postgres.connection import Database

ANALYST = "refold_analyst"


def create(db: Database, layout: Layout, build: Build, *, with_key: bool = True) -> None:
    """Create the build's schema and tables. A rebuild adds the key at its end, when all rows are there.

    Memories of carried values have theirs from the beginning: a rebuild looks streams up in them.
    """
    db.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(build.schema)))
    for one in layout.tables:
        columns = sql.SQL(", ").join([*map(_column, one.stored), *map(_derived, one.derived)])
        is_fixed = one.evolves or one.appends or (one.side is not None and not one.columns)
        options = sql.SQL("" if is_fixed else "WITH (fillfactor = 80)")
        db.execute(sql.SQL("CREATE TABLE {} ({}) {}").format(table(one, build.schema), columns, options))
    if with_key:
        add_key(db, layout, build)
    for memory in memories_of(layout):
        create(db, memory.layout, build)


def add_key(db: Database, layout: Layout, build: Build) -> None:
    """Add the keys that merges use. If a key column may be null, nulls are treated as equal."""
    for one in layout.tables:
        names = sql.SQL(", ").join(map(sql.Identifier, one.key_names))
        kind = "PRIMARY KEY" if all(part.required for part in one.keys) else "UNIQUE NULLS NOT DISTINCT"
        db.execute(sql.SQL("ALTER TABLE {} ADD {} ({})").format(table(one, build.schema), sql.SQL(kind), names))


def has_key(db: Database, layout: Layout, build: Build) -> bool:
    """Whether the tables still have their keys; without one a row may be there twice."""
    return all(_has_key(db, one, build) for one in layout.tables)


def _has_key(db: Database, layout: Layout, build: Build) -> bool:
    found = db.execute(
        "SELECT FROM pg_constraint c WHERE c.conrelid = to_regclass(%s) AND c.contype IN ('p', 'u') AND %s::text[] = ARRAY("
        "SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k (number, place)"
        "  JOIN pg_attribute a ON (a.attrelid, a.attnum) = (c.conrelid, k.number) ORDER BY k.place)",
        (table(layout, build.schema).as_string(db), list(layout.key_names)),
    )
    return found.fetchone() is not None


def drop(db: Database, build: Build) -> None:
    """Remove a build's tables."""
    db.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(build.schema)))


def shown_rows(layout: Layout, build: Build) -> sql.Composable:
    """A build's table, restricted to the rows that readers see, as the part of a query after FROM."""
    rows = table(layout, build.schema)
    if not layout.deletes:
        return rows
    return sql.SQL("{} WHERE {} > {}").format(rows, sql.Identifier(VERSION), sql.Identifier(DELETED))


def put_note(db: Database, layout: Layout, build: Build, text: str) -> None:
    """Keep a note with a build's table, as its comment."""
    db.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table(layout, build.schema), sql.Literal(text)))


def note(db: Database, build: Build) -> str:
    """The note that is kept with a build's table; empty if there is none."""
    name = sql.Identifier(build.schema, build.model).as_string()
    row = db.execute("SELECT coalesce(obj_description(to_regclass(%s), 'pg_class'), '')", (name,)).fetchone()
    return str(row[0]) if row is not None else ""


def point_view(db: Database, layout: Layout, build: Build, ours: Sequence[Name] = ()) -> None:
    """Let the model's view show this build, within the caller's transaction. Raises CannotPromote.

    A view with the same columns is replaced in place. Otherwise `ours`, the declared views that depend on it, are
    dropped and made again. Grants survive.
    """
    model = layout.model
    body = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(sql.Identifier(part.name) for part in layout.shown), shown_rows(layout, build)
    )
    _ensure_schema(db, model.domain)
    view_swap.replace(db, (model.domain, model.name), body, ours)
    view = sql.Identifier(model.domain, model.name)
    _comment(db, view, model.description, {part.name: str(part.doc) for part in layout.shown}, model.units)


def create_view(db: Database, view: View, ours: Sequence[Name] = ()) -> None:
    """Make a declared SQL view. Raises CannotPromote."""
    columns = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(_cast(c, t), sql.Identifier(c)) for c, (t, _) in view.columns.items()
    )
    # The closing parenthesis needs a line of its own: the query's last line may be a comment.
    body = sql.SQL("SELECT {} FROM (\n{}\n) AS declared").format(columns, sql.SQL(view.sql))
    _ensure_schema(db, view.domain)
    view_swap.replace(db, (view.domain, view.name), body, ours)
    name = sql.Identifier(view.domain, view.name)
    _comment(db, name, view.description, {column: doc for column, (_, doc) in view.columns.items()}, view.units)


def _cast(name: str, declared: str) -> sql.Composed:
    """A column as its declared type. Slices of arrays are renumbered from 1, so that equal texts are equal values."""
    cast = sql.SQL("declared.{}::{}").format(sql.Identifier(name), sql.SQL(declared))
    return sql.SQL("({})[:]").format(cast) if served_type(declared).array else cast


def _column(part: Stored) -> sql.Composed:
    collation = sql.SQL(' COLLATE "C"') if part.type.sql == "text" else sql.SQL("")
    required = sql.SQL(" NOT NULL") if part.required else sql.SQL("")
    return sql.SQL("{} {}{}{}").format(sql.Identifier(part.name), sql.SQL(part.type.sql), collation, required)


def _derived(part: Derived) -> sql.Composed:
    """A column that Postgres computes whenever it writes the row: readers filter, sort and index it like any other."""
    return sql.SQL("{} {} GENERATED ALWAYS AS ({}) STORED").format(
        sql.Identifier(part.name), sql.SQL(part.type.sql), expression(part)
    )


def analysts_read(db: Database, domain: str) -> bool:
    """Whether the analysts' role is there and may read a domain: every one but that of the API's keys."""
    return domain != ACCESS and db.execute("SELECT FROM pg_roles WHERE rolname = %s", (ANALYST,)).fetchone() is not None


def _ensure_schema(db: Database, domain: str) -> None:
    name = sql.Identifier(domain)
    if db.execute("SELECT FROM pg_namespace WHERE nspname = %s", (domain,)).fetchone() is None:
        db.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name))
    if analysts_read(db, domain):
        role = sql.Identifier(ANALYST)
        db.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(name, role))
        db.execute(sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT SELECT ON TABLES TO {}").format(name, role))


def _comment(
    db: Database, view: sql.Composable, text: str, columns: Mapping[str, str], units: Mapping[str, str]
) -> None:
    db.execute(sql.SQL("COMMENT ON VIEW {} IS {}").format(view, sql.Literal(text)))
    for name, said in columns.items():
        doc = f"{said} ({units[name]})" if name in units else said
        db.execute(sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(view, sql.Identifier(name), sql.Literal(doc)))
