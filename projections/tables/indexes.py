"""The indexes of a model's table beside its key: those that its author declares, and one for the way back of each link.

Invariant: an index changes no row, no fingerprint and no other build. One that is lacking makes reads slower, never wrong, so no failure
to make one stops a model: a value that is too long for an index costs the index, not the row.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from refold.projections.declaring.indexes import columns_of
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout
from refold.projections.tables.names import table
from refold.streams.postgres.connection import Database
from refold.streams.refusals import first_line

_log = logging.getLogger(__name__)
_READABLE, _DIGITS = 54, 8
"""Letters of a name that tell the columns, and of its hash; together with an underscore they are Postgres's 63 bytes."""
_THERE = """
    SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid = to_regclass(%s) AND NOT i.indisunique AND c.relname ~ '^_.*_[0-9a-f]{8}$'
"""


@dataclass(frozen=True)
class TableIndex:
    """An index that a table should have. Nulls come last, so it is read forwards as the API orders up, and backwards as it orders down."""

    name: str
    columns: tuple[str, ...]


def indexes_of(layout: Layout) -> list[TableIndex]:
    """The indexes of a model's table, without those whose columns the key or another index begins with."""
    key = tuple(layout.key_names)
    wanted = dict.fromkeys(_with_key(columns_of(index), key) for index in layout.model.indexes)
    wanted |= dict.fromkeys(link.own for link in layout.model.links.values())
    others = [key, *wanted]
    return [
        TableIndex(_name(layout.name, columns), columns)
        for columns in wanted
        if not any(other[: len(columns)] == columns for other in others if other is not columns)
    ]


def add_all(db: Database, layout: Layout, build: Build) -> None:
    """Add the indexes that the build's table lacks, within the caller's transaction, which alone writes the table."""
    there = dict(_there(db, layout, build))
    for index in indexes_of(layout):
        if index.name not in there:
            try:
                with db.transaction():
                    db.execute(_create(layout, build, index))
            except psycopg.errors.ProgramLimitExceeded as problem:
                _tell(layout, index, problem)


def mend(db: Database, layout: Layout, build: Build) -> None:
    """Make the indexes of a table in use be those that are declared, while others read and write it. `db` is in no transaction."""
    wanted = {index.name: index for index in indexes_of(layout)}
    there = dict(_there(db, layout, build))
    for name, valid in there.items():
        if name not in wanted or not valid:
            db.execute(_drop(build, name, concurrently=True))
    for name, index in wanted.items():
        if there.get(name):
            continue
        try:
            db.execute(_create(layout, build, index, concurrently=True))
            _log.info("models: %s.%s has the index %s", layout.model.domain, layout.name, name)
        except psycopg.errors.ProgramLimitExceeded as problem:
            db.execute(_drop(build, name, concurrently=True))  # Postgres leaves half of one
            _tell(layout, index, problem)


def give_up(db: Database, build: Build, problem: BaseException | None) -> bool:
    """Drop our index for which a value was too long, if the failure is of this kind. Returns whether it was: then the write can succeed."""
    if not isinstance(problem, psycopg.errors.ProgramLimitExceeded) or not (name := problem.diag.constraint_name):
        return False
    if problem.diag.table_name != build.model or not name.startswith("_"):
        return False
    _log.error("models: %s.%s loses the index %s: %s", build.domain, build.model, name, first_line(problem))
    with db.transaction():
        db.execute("SET LOCAL lock_timeout = '10s'")
        db.execute(_drop(build, name))
    return True


def _with_key(columns: tuple[str, ...], key: Sequence[str]) -> tuple[str, ...]:
    """The columns, and then the rest of the key, by which the API orders equal rows."""
    return (*columns, *(name for name in key if name not in columns))


def _name(model: str, columns: Sequence[str]) -> str:
    """A name that tells the columns and is the model's alone, since a snapshot's schema holds the indexes of several models."""
    digits = hashlib.sha256(json.dumps([model, *columns]).encode()).hexdigest()[:_DIGITS]
    return f"{'_'.join(('', model, *columns))[:_READABLE]}_{digits}"


def _there(db: Database, layout: Layout, build: Build) -> Iterator[tuple[str, bool]]:
    """Our indexes of a table, and whether each is whole. Those of other people have other names."""
    yield from db.execute(_THERE, (table(layout, build.schema).as_string(db),)).fetchall()


def _create(layout: Layout, build: Build, index: TableIndex, *, concurrently: bool = False) -> sql.Composed:
    return sql.SQL("CREATE INDEX {}{} ON {} ({})").format(
        sql.SQL("CONCURRENTLY " if concurrently else ""),
        sql.Identifier(index.name),
        table(layout, build.schema),
        sql.SQL(", ").join(map(sql.Identifier, index.columns)),
    )


def _drop(build: Build, name: str, *, concurrently: bool = False) -> sql.Composed:
    words = sql.SQL("CONCURRENTLY " if concurrently else "")
    return sql.SQL("DROP INDEX {}IF EXISTS {}").format(words, sql.Identifier(build.schema, name))


def _tell(layout: Layout, index: TableIndex, problem: psycopg.Error) -> None:
    _log.error(
        "models: %s.%s goes without an index of %s: %s",
        layout.model.domain, layout.name, ", ".join(index.columns), first_line(problem),
    )  # fmt: skip
