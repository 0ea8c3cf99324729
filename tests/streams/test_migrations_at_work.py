"""Tests migrations while processes run, a restore is at work, or a reader holds a table."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from refold.streams.errors import DatabaseUnavailable
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database, connect
from refold.streams.postgres.control_tables import bootstrap, keep_up, look
from refold.streams.postgres.restoring import stand_aside
from tests.streams.catalog import catalog, rows
from tests.streams.test_migrations import ADDITIVE, EARLIER, emptied


@pytest.fixture
def db(database: str) -> Iterator[Database]:
    with closing(connect(database, application_name="test")) as connection:
        yield connection


def test_a_running_process_makes_nothing_in_an_emptied_database(db: Database) -> None:
    """It must end: only a start makes the tables of read models, too, and positions without them would lose their rows."""
    bootstrap(db)
    keep_up(db)
    emptied(db)
    with pytest.raises(psycopg.errors.UndefinedTable):
        positions.stored(db, "models", [("t", 0)])
    assert look(db).is_empty


@pytest.mark.parametrize("earlier", [EARLIER[0], EARLIER[4]], ids=lambda path: path.stem)
def test_an_older_dump_under_a_process_that_runs_is_migrated_before_it_goes_on(db: Database, earlier: Path) -> None:
    """A restore drops what the dump has, and nothing else: the version that the database had stays."""
    fresh = catalog(db)
    for table in rows(db).keys() - {"migrations"}:
        db.execute(sql.SQL("DROP TABLE refold.{} CASCADE").format(sql.Identifier(table)))
    db.execute(earlier.read_bytes().replace(b"CREATE SCHEMA refold;", b""))
    assert positions.stored(db, "core", [("retail.basket.events", 0)]) == {("retail.basket.events", 0): 42}
    assert catalog(db) == fresh


def test_nothing_is_migrated_while_a_restore_runs(database: str, db: Database) -> None:
    was = catalog(db)
    with (
        psycopg.connect(database, application_name="pg_restore"),
        pytest.raises(DatabaseUnavailable, match="is being restored"),
    ):
        bootstrap(db, ADDITIVE)
    while db.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = 'pg_restore'").fetchone():
        pass
    assert catalog(db) == was
    db.execute("ALTER TABLE refold.builds DROP CONSTRAINT builds_pkey")
    with pytest.raises(DatabaseUnavailable, match="builds has no key"):
        bootstrap(db, ADDITIVE)
    assert not [line for line in catalog(db) if "more" in line]


def test_a_reader_that_lasts_stops_a_migration_for_some_seconds_and_not_for_ever(database: str, db: Database) -> None:
    with psycopg.connect(database) as reader:
        reader.execute("SELECT FROM refold.voids")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            bootstrap(db, ADDITIVE)
    stand_aside(db)
    bootstrap(db, ADDITIVE)
