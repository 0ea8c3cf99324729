"""Migrates the platform's own tables to this code's version or refuses them, in one transaction at a process's start.

Invariant: code serves a database only if it knows the last breaking migration, and nothing that it relies on is
missing. Additive migrations let older code run on beside newer code.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import psycopg

import refold
from refold.streams.errors import DatabaseNewer, DatabaseOlder, DatabaseRefused
from refold.streams.postgres import restoring
from refold.streams.postgres.connection import Database
from refold.streams.postgres.tables_version import RIGHTS, Migration, TablesSchema, known
from refold.streams.refusals import first_line
from refold.streams.standing import STALE_S

_LOCK = 0x5EF01D
_log = logging.getLogger(__name__)
_LACKING = """
    WITH there AS MATERIALIZED (
        SELECT c.oid, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'refold'),
    has AS MATERIALIZED (
        SELECT relname, attname::text FROM there JOIN pg_attribute ON attrelid = there.oid AND attnum > 0 AND NOT attisdropped)
    SELECT ARRAY(SELECT name FROM unnest(%s::text[]) name EXCEPT SELECT relname FROM there ORDER BY 1),
           ARRAY(SELECT tab || '.' || col FROM (
                    SELECT tab, col FROM unnest(%s::text[], %s::text[]) AS e(tab, col) EXCEPT SELECT relname, attname FROM has) lacks
                  WHERE tab IN (SELECT relname FROM there) ORDER BY 1),
           ARRAY(SELECT name FROM unnest(%s::text[]) name EXCEPT
                 SELECT proname || '(' || array_to_string(ARRAY(SELECT format_type(t, NULL) FROM unnest(proargtypes) t), ',') || ')'
                   FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'refold' ORDER BY 1),
           ARRAY(SELECT name FROM unnest(%s::text[]) name EXCEPT SELECT relname FROM there ORDER BY 1)
"""
_VERSION = "SELECT coalesce(max(number), 0), coalesce(max(served_from), 0) FROM refold.migrations"
_IDENTITY = (
    "SELECT (SELECT oid FROM pg_database WHERE datname = current_database()), max(number), max(served_from), "
    + ", ".join(f"to_regclass('refold.{table}')::oid" for table in known().layout.tables)
    + " FROM refold.migrations"
).encode()
_served: set[tuple[object, ...]] = set()
"""Answers to _IDENTITY for which nothing was missing."""
_READERS_LACK = """
    SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'refold_analyst' AND to_regclass('refold.freshness') IS NOT NULL
                          AND has_table_privilege(rolname, to_regclass('refold.freshness'), 'SELECT')
                          AND has_column_privilege(rolname, to_regclass('refold.outcomes'), 'code', 'SELECT'))
"""
_OF_OLDER_CODE = f"""
    SELECT role || ' ' || pid || '@' || host FROM refold.processes
     WHERE seen_at >= now() - interval '{STALE_S} s' AND NOT starts_with(coalesce(trouble, ''), 'ended: ')
       AND coalesce(tables, 1) < %s ORDER BY 1
"""


@dataclass(frozen=True)
class Found:
    """The state of the tables. `version`: 0 if there are none, or they are older than the first counted version."""

    knows: int
    """The version of this code."""
    version: int
    served_from: int
    tables: tuple[str, ...] = ()
    """Missing tables and views; then missing columns of existing ones, and missing functions."""
    parts: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()

    @property
    def is_served(self) -> bool:
        """Whether this code may use the tables as they are."""
        return self.served_from <= self.knows <= self.version and not self.lacks

    @property
    def lacks(self) -> str:
        """The missing parts on which this code relies."""
        return ", ".join(f"refold.{name}" for name in (*self.tables, *self.parts))

    def refusal(self, problem: psycopg.Error) -> str:
        """The refusal by Postgres, and the missing parts."""
        why = f"Postgres refuses: {first_line(problem)}"
        return f"{why}; there is no {self.lacks} yet" if self.lacks else why

    @property
    def is_empty(self) -> bool:
        """Whether no process ever made them."""
        return self.version == 0 and "positions" in self.tables

    def problem(self) -> DatabaseRefused | None:
        """The reason why a read-only process cannot use the tables; None for an empty database."""
        if self.is_served or self.is_empty:
            return None
        try:
            self.refuse_newer()
        except DatabaseNewer as newer:
            return newer
        if self.version < self.knows:
            return DatabaseOlder(
                f"the tables have version {self.version}, this code needs {self.knows}, and no process of it has started yet"
            )
        return DatabaseRefused(
            f"there is no {self.lacks}: somebody dropped it",
            "Start a worker: it makes the missing tables (docs/upgrading.md).",
        )

    def refuse_newer(self) -> None:
        """Raises DatabaseNewer."""
        if self.served_from > self.knows:
            raise DatabaseNewer(
                f"the tables have version {self.version}, which only code from version {self.served_from} on may serve, and this is {self.knows}"
            )
        if self.version > self.knows and self.lacks:
            raise DatabaseNewer(
                f"the tables have version {self.version}, this code knows {self.knows}, and there is no {self.lacks} any more"
            )


def look(db: Database, schema: TablesSchema | None = None) -> Found:
    """The state of the tables; changes nothing. Raises psycopg.Error, or DatabaseRefused if a role may not even ask."""
    schema = schema or known()
    layout = schema.layout
    of, columns = [table for table, _ in layout.columns], [column for _, column in layout.columns]
    row = db.execute(_LACKING, (layout.tables, of, columns, list(layout.functions), list(layout.indexes))).fetchone()
    tables, missing, functions, indexes = row or ([], [], [], [])
    found = Found(schema.version, 0, 0, tuple(tables), (*missing, *functions), tuple(indexes))
    if "migrations" in tables:
        return found
    try:
        version, served_from = db.execute(_VERSION).fetchone() or (0, 0)
    except psycopg.errors.InsufficientPrivilege as problem:
        raise DatabaseRefused(found.refusal(problem)) from problem
    return replace(found, version=version, served_from=served_from)


def bootstrap(db: Database, schema: TablesSchema | None = None) -> None:
    """Bring the tables up to date. Many may run it at once, and a role without rights if nothing is missing.

    Roles wait while the database is being restored. Raises DatabaseNewer, DatabaseOlder, DatabaseRefused if a table is
    missing, DatabaseUnavailable if a command does not wait.
    """
    schema = schema or known()
    restoring.stand_aside(db, schema.layout.tables)
    found = look(db, schema)
    found.refuse_newer()
    if found.is_served and not found.indexes:
        _let_readers_in(db)
        return
    try:
        with db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            db.execute("SET LOCAL client_min_messages = warning; SET LOCAL lock_timeout = '5s'")
            _bring_up(db, schema)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction) as problem:
        if not found.is_served:
            raise _may_not(found, problem) from problem
    _let_readers_in(db)


def keep_up(db: Database) -> None:
    """The same for a running process: another version's dump may have been restored. Raises as `bootstrap`.

    Called each second, so it only asks what a restore changes: the existing tables and their version. Outside of a
    transaction.
    """
    try:
        told = db.execute(_IDENTITY).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        told = None
    if told is not None and told in _served:
        return
    found = look(db)
    if found.is_empty:
        return  # the next statement fails and ends the process: only a whole start makes the read models' tables, too
    if found.is_served and told is not None:
        _served.add(told)
    elif not found.is_served:
        _log.warning("the tables have changed (version %d, code %d): checking them", found.version, found.knows)
        bootstrap(db)


def _bring_up(db: Database, schema: TablesSchema) -> None:
    """Apply new migrations. If something is still missing, apply all again: a migration leaves existing parts alone."""
    found = look(db, schema)
    found.refuse_newer()
    if db.execute("SELECT FROM pg_namespace WHERE nspname = 'refold'").fetchone() is None:
        db.execute("CREATE SCHEMA refold")
    _apply(db, schema.migrations[found.version :], found)
    again = look(db, schema)
    if again.lacks or again.indexes:
        _log.warning("making the missing parts again: %s", again.lacks or ", ".join(again.indexes))
        _apply(db, schema.migrations, again)
        again = look(db, schema)
    if again.lacks:
        raise DatabaseRefused(
            f"there is no {again.lacks}, and no migration makes it: somebody altered the tables",
            "Restore it as docs/upgrading.md says, or fold an empty database: `refold replay rebuild --all --execute`.",
        )


def _apply(db: Database, migrations: Sequence[Migration], found: Found) -> None:
    for each in migrations:
        if each.number > found.version and each.served_from > 1:
            _only_if_nobody_is_older(db, each)
        db.execute(each.statements.encode())
        done = db.execute(
            "INSERT INTO refold.migrations (number, name, served_from, applied_by) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (number) DO NOTHING",
            (each.number, each.name, each.served_from, refold.__version__),
        )
        if done.rowcount:
            _log.info("the tables have version %d now (%s)", each.number, each.name)


def _only_if_nobody_is_older(db: Database, breaking: Migration) -> None:
    """Raises DatabaseOlder while older code runs. Code from before versions were counted serves version 1."""
    if older := [who for (who,) in db.execute(_OF_OLDER_CODE.encode(), (breaking.served_from,)).fetchall()]:
        raise DatabaseOlder(
            f"migration {breaking.number} ({breaking.name}) would end code that still runs: {', '.join(older)}",
            "Stop these processes, then start the new ones (docs/upgrading.md).",
        )


def _may_not(found: Found, problem: psycopg.Error) -> DatabaseRefused:
    """The refusal for a role without rights: either something is missing, or the tables are only older."""
    if found.lacks and (found.version == found.knows or found.is_empty):
        return DatabaseRefused(found.refusal(problem))
    why = f"Postgres refuses: {first_line(problem)}"
    return DatabaseOlder(f"the tables have version {found.version}, this code needs {found.knows}; {why}")


def _let_readers_in(db: Database) -> None:
    """Create the readers' role: roles belong to the server, so no dump has it. Without the right to, go on without."""
    row = db.execute(_READERS_LACK).fetchone()
    if row is not None and row[0]:
        with suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction), db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            db.execute(RIGHTS.encode())
