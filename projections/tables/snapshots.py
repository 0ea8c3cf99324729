"""Snapshots: read models as they once were, each table in the schema `<domain>@<name>`, with its description as a comment.

Invariant: a snapshot appears whole in one transaction and never changes. The table carries its own description, so both
come and go together, also in a dump of the database.
"""

import re
from collections.abc import Sequence

import msgspec
import psycopg
from psycopg import sql

from refold.projections.errors import BuildInUse, SnapshotExists, SnapshotInvalid
from refold.projections.tables import names
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import DELETED, VERSION, Layout
from refold.projections.tables.served import ServedModel, served_table
from refold.projections.tables.tables import ANALYST, analysts_read
from refold.streams.postgres.connection import Database
from refold.streams.refusals import first_line

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}", re.ASCII)
_SEPARATOR, _LONGEST = "@", 63
"""Stands between domain and name in a schema's name: no domain has it. Postgres cuts longer names."""
_LIST = """
    SELECT obj_description(c.oid, 'pg_class'), pg_total_relation_size(c.oid)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND strpos(n.nspname, '@') > 0 AND starts_with(obj_description(c.oid, 'pg_class'), '{"snapshot":')
     ORDER BY n.nspname, c.relname
"""


class Snapshot(msgspec.Struct, frozen=True):
    """One model as it was. `positions`: topic without prefix, partition, next offset. `at`: the time that was asked for.

    `occurred_before`: only events that occurred before this time are in it.
    """

    snapshot: str
    domain: str
    model: str
    positions: list[tuple[str, int, int]]
    at: str | None
    fingerprint: str
    created_at: str
    served: ServedModel
    rows: int = 0
    parked: int = 0
    bytes: int = 0
    occurred_before: str | None = None

    @property
    def position(self) -> str:
        """As `Refold-Position`."""
        return ",".join(f"{topic}/{part}:{offset}" for topic, part, offset in sorted(self.positions))


def schema_of(domain: str, name: str) -> str:
    """The schema of a snapshot. Raises SnapshotInvalid."""
    schema = f"{domain}{_SEPARATOR}{name}"
    if not NAME.fullmatch(name) or len(schema) > _LONGEST:
        raise SnapshotInvalid(
            f"{name!r} names no snapshot: write up to 40 small letters, digits, - and _, and a letter or digit first"
        )
    return schema


def keep(db: Database, layout: Layout, build: Build, snapshot: Snapshot) -> Snapshot:
    """Make a build's table the snapshot's, within the caller's transaction: only what readers see stays in it.

    Raises SnapshotExists.
    """
    schema, table = sql.Identifier(schema_of(snapshot.domain, snapshot.snapshot)), names.table(layout, build.schema)
    if layout.deletes:
        hidden = sql.SQL("DELETE FROM {} WHERE NOT {} > {}")
        db.execute(hidden.format(table, sql.Identifier(VERSION), sql.Identifier(DELETED)))
    for derived in layout.derived:  # from now on a value like any other
        stay = sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP EXPRESSION")
        db.execute(stay.format(table, sql.Identifier(derived.name)))
    for part in layout.stored:
        if part.doc is None:
            db.execute(sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(table, sql.Identifier(part.name)))
    db.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
    try:
        with db.transaction():
            db.execute(sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(table, schema))
    except psycopg.errors.DuplicateTable as problem:
        raise SnapshotExists(f"{snapshot.domain}.{snapshot.model} has a snapshot {snapshot.snapshot}") from problem
    return close(db, snapshot)


def close(db: Database, snapshot: Snapshot) -> Snapshot:
    """Count the rows of the snapshot's table, let nobody write it and analysts read it, and write what it is beside it."""
    schema = schema_of(snapshot.domain, snapshot.snapshot)
    kept = sql.Identifier(schema, snapshot.model)
    row = db.execute(sql.SQL("SELECT count(*) FROM {}").format(kept)).fetchone()
    whole = msgspec.structs.replace(snapshot, rows=int(row[0]) if row is not None else 0)
    _close(db, snapshot.domain, sql.Identifier(schema), kept)
    text = sql.Literal(msgspec.json.encode(whole).decode())
    db.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(kept, text))
    for column in snapshot.served.columns:
        comment = sql.SQL("COMMENT ON COLUMN {}.{} IS {}")
        db.execute(comment.format(kept, sql.Identifier(column.name), sql.Literal(column.doc)))
    return whole


def described(layout: Layout) -> ServedModel:
    """The model as a snapshot serves it."""
    return served_table(layout)


def snapshots(db: Database) -> list[Snapshot]:
    """Every snapshot, by domain, name and model."""
    return [of_comment(*row) for row in db.execute(_LIST).fetchall()]


def of_comment(text: str, size: int) -> Snapshot:
    """The snapshot that a table's comment describes."""
    return msgspec.structs.replace(msgspec.json.decode(text, type=Snapshot), bytes=size)


def drop(db: Database, found: Sequence[Snapshot]) -> None:
    """Drop snapshots in one transaction. Raises BuildInUse if views of somebody read one."""
    with db.transaction():
        db.execute("SET LOCAL lock_timeout = '2s'")
        for one in found:
            schema = schema_of(one.domain, one.snapshot)
            try:
                db.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(schema, one.model)))
            except (psycopg.errors.DependentObjectsStillExist, psycopg.errors.LockNotAvailable) as problem:
                raise BuildInUse(f"{schema}.{one.model} is being read: {first_line(problem)}") from problem
            left = "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s LIMIT 1"
            if db.execute(left, (schema,)).fetchone() is None:
                db.execute(sql.SQL("DROP SCHEMA IF EXISTS {}").format(sql.Identifier(schema)))


def _close(db: Database, domain: str, schema: sql.Identifier, kept: sql.Identifier) -> None:
    """Refuse writes from everybody, and let analysts read."""
    db.execute(
        sql.SQL(
            "CREATE TRIGGER refold_read_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refold.refuse_write()"
        ).format(kept)
    )
    if analysts_read(db, domain):
        role = sql.Identifier(ANALYST)
        db.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role))
        db.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(kept, role))
