"""Tests migrations of the platform's tables: every earlier layout is converted once, with its rows, or is refused."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from refold.streams.errors import DatabaseNewer, DatabaseOlder, DatabaseRefused
from refold.streams.operation.presence import Me
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database, connect
from refold.streams.postgres.control_tables import bootstrap, keep_up, look
from refold.streams.postgres.tables_version import Migration, TablesSchema, known, migrations, read
from tests.golden.make_tables import FOLDER, checksums, checksums_now, layout
from tests.streams.catalog import Row, catalog, rows

ROOT = Path(__file__).parents[2]
EARLIER = sorted((ROOT / "tests/golden/tables").glob("layout_*.sql"))
MORE = Migration(known().version + 1, "more", "ALTER TABLE refold.voids ADD COLUMN IF NOT EXISTS more int DEFAULT 7", 1)
BREAKING = Migration(
    known().version + 1, "broken", "ALTER TABLE refold.voids RENAME COLUMN reason TO why", known().version + 1
)


def after(*steps: Migration, **columns: str) -> TablesSchema:
    """What newer code knows."""
    ours = known()
    return TablesSchema(
        (*ours.migrations, *steps), replace(ours.layout, columns=(*ours.layout.columns, *columns.items()))
    )


ADDITIVE = after(MORE, voids="more")


@pytest.fixture
def db(database: str) -> Iterator[Database]:
    with closing(connect(database, application_name="test")) as connection:
        yield connection


def emptied(db: Database) -> None:
    db.execute("DROP SCHEMA refold CASCADE")


def test_a_migration_that_was_applied_somewhere_is_never_edited() -> None:
    assert checksums_now() == checksums(), "add another migration, then run `python -m tests.golden.make_tables`"


def test_the_layout_that_code_relies_on_is_what_the_migrations_lead_to(db: Database) -> None:
    assert layout(db) == (FOLDER / "layout.txt").read_text(), "run `python -m tests.golden.make_tables`"
    found = look(db)
    assert (found.version, found.lacks, found.indexes) == (known().version, "", ())


def test_no_statement_of_ours_relies_on_the_order_of_columns() -> None:
    found = [
        f"{file.relative_to(ROOT)}: {said}"
        for folder in ("api", "projections", "streams")
        for file in (ROOT / folder).rglob("*.py")
        for said in re.findall(r"INSERT INTO refold\.\w+\b(?! \()[^\n]*", file.read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("earlier", EARLIER, ids=[path.stem for path in EARLIER])
def test_each_earlier_layout_is_brought_to_that_of_a_fresh_database_with_its_rows(db: Database, earlier: Path) -> None:
    fresh = catalog(db)
    emptied(db)
    db.execute(earlier.read_bytes())
    before = rows(db)
    assert len(before) >= 9
    assert all(before.values()), "a table without rows proves nothing"
    bootstrap(db)
    assert catalog(db) == fresh
    after_ = rows(db)
    assert {name: kept(before[name], after_[name]) for name in before} == before
    db.execute(
        "INSERT INTO refold.builds (domain, model, fingerprint, status) VALUES ('retail', 'new', 'f', 'serving')"
    )
    assert db.execute("SELECT max(build) FROM refold.builds").fetchone() == (len(before["builds"]) + 1,)


def kept(before: list[Row], now: list[Row]) -> list[Row]:
    """The rows of now, as far as there were columns for them."""
    names = before[0].keys()
    return sorted(
        ({name: row[name] for name in names} for row in now), key=lambda row: before.index(row) if row in before else -1
    )


def test_each_migration_leaves_alone_what_is_there(db: Database) -> None:
    """So all can be run once more where something is missing."""
    db.execute(
        "INSERT INTO refold.voids (topic, part, first_offset, last_offset, reason) VALUES ('t', 0, 1, 2, 'void')"
    )
    was = catalog(db), rows(db)
    for each in known().migrations:
        db.execute(each.statements.encode())
    assert (catalog(db), rows(db)) == was


def test_a_later_migration_is_applied_once_by_however_many_start_at_once(database: str) -> None:
    counting = replace(
        MORE, statements="CREATE TABLE refold.once (n int PRIMARY KEY); INSERT INTO refold.once VALUES (1)"
    )
    newer = after(counting, once="n")

    def start(_: int) -> None:
        with closing(connect(database, application_name="test")) as db:
            bootstrap(db, newer)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(start, range(12)))
    with closing(connect(database, application_name="test")) as db:
        assert db.execute("SELECT count(*) FROM refold.once").fetchone() == (1,)
        assert [row["name"] for row in rows(db)["migrations"]] == ["control_tables", "more"]


def test_an_empty_database_is_made_whole_by_however_many_start_at_once(database: str, db: Database) -> None:
    fresh = catalog(db)
    emptied(db)

    def start(_: int) -> None:
        with closing(connect(database, application_name="test")) as one:
            bootstrap(one)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(start, range(6)))
    assert catalog(db) == fresh


def test_a_migration_that_fails_changes_nothing(db: Database) -> None:
    was = catalog(db), rows(db)
    with pytest.raises(psycopg.errors.DivisionByZero):
        bootstrap(db, after(MORE, Migration(known().version + 2, "fails", "SELECT 1 / 0", 1), voids="more"))
    assert (catalog(db), rows(db)) == was


def test_code_of_before_goes_on_beside_newer_code_after_an_additive_migration(db: Database) -> None:
    bootstrap(db, ADDITIVE)
    found = look(db)
    assert (found.version, found.knows, found.is_served) == (known().version + 1, known().version, True)
    bootstrap(db)
    keep_up(db)
    Me("core", ()).beat(db)
    bootstrap(db, ADDITIVE)


def test_code_that_cannot_serve_the_tables_is_refused_wherever_it_comes_to_them(db: Database) -> None:
    db.execute("INSERT INTO refold.migrations (number, name, served_from, applied_by) VALUES (7, 'later', 5, '9')")
    doors: list[Callable[[], object]] = [
        lambda: bootstrap(db), lambda: keep_up(db), lambda: positions.stored(db, "core", [("t", 0)]),
    ]  # fmt: skip
    for door in doors:
        with pytest.raises(
            DatabaseNewer,
            match=r"the tables have version 7, which only code from version 5 on may serve, and this is \d+",
        ):
            door()


def test_tables_that_newer_code_took_something_away_from_are_refused(db: Database) -> None:
    db.execute("INSERT INTO refold.migrations (number, name, served_from, applied_by) VALUES (7, 'later', 1, '9')")
    db.execute("ALTER TABLE refold.voids DROP COLUMN reason")
    with pytest.raises(
        DatabaseNewer,
        match=r"the tables have version 7, this code knows \d+, and there is no refold\.voids\.reason any more",
    ):
        bootstrap(db)


def test_a_breaking_migration_waits_until_code_that_it_would_end_has_ended(db: Database) -> None:
    older, newer = Me("core", ()), after(BREAKING)
    newer = TablesSchema(
        newer.migrations,
        replace(newer.layout, columns=tuple(c for c in newer.layout.columns if c != ("voids", "reason"))),
    )
    older.beat(db)
    was = catalog(db)
    with pytest.raises(
        DatabaseOlder, match=r"migration \d+ \(broken\) would end code that still runs: core \d+@"
    ) as problem:
        bootstrap(db, newer)
    assert problem.value.remedy.startswith("Stop these processes")
    assert catalog(db) == was
    older.leave(db)
    bootstrap(db, newer)
    with pytest.raises(DatabaseNewer):
        bootstrap(db)


@pytest.fixture
def limited(database: str) -> Iterator[Database]:
    """A connection of a role that may use the schema, and nothing else."""
    name = sql.Identifier(f"limited_{database.rpartition('/')[2]}")
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'limited'").format(name))
        admin.execute(sql.SQL("GRANT USAGE ON SCHEMA refold TO {}").format(name))
        host = psycopg.conninfo.conninfo_to_dict(database)
        url = psycopg.conninfo.make_conninfo(database, user=name._obj[0], password="limited", host=str(host["host"]))
        with closing(connect(url, application_name="test")) as db:
            yield db
        admin.execute(sql.SQL("DROP OWNED BY {}").format(name))
        admin.execute(sql.SQL("DROP ROLE {}").format(name))


def test_a_role_that_may_not_migrate_works_where_nothing_is_to_be_done_and_says_so_else(
    db: Database, limited: Database
) -> None:
    bootstrap(limited)
    keep_up(limited)
    with pytest.raises(
        DatabaseOlder,
        match=r"the tables have version \d+, this code needs \d+; Postgres refuses: must be owner of table voids",
    ):
        bootstrap(limited, ADDITIVE)
    db.execute("DROP INDEX refold.outcomes_rejected")
    bootstrap(limited)
    bootstrap(db)
    assert look(db).indexes == ()


def test_tables_of_before_versions_were_counted_are_older_to_a_role_that_may_not_migrate(
    db: Database, limited: Database
) -> None:
    db.execute("DROP TABLE refold.migrations")
    db.execute("ALTER TABLE refold.processes DROP COLUMN trouble")
    with pytest.raises(DatabaseOlder, match="the tables have version 0, this code needs"):
        bootstrap(limited)


def test_what_was_dropped_by_hand_is_made_again_and_what_cannot_be_is_named(db: Database) -> None:
    fresh = catalog(db)
    for statement in (
        "DROP TABLE refold.voids", "ALTER TABLE refold.set_aside DROP COLUMN reason", "DROP FUNCTION refold.refuse_write CASCADE",
        "DROP VIEW refold.freshness", "DROP INDEX refold.views_one_serving", "DROP TABLE refold.migrations",
    ):  # fmt: skip
        db.execute(statement)
        bootstrap(db)
        assert catalog(db) == fresh, statement
    db.execute("ALTER TABLE refold.claims DROP COLUMN rules")
    with pytest.raises(DatabaseRefused, match=r"there is no refold\.claims\.rules, and no migration makes it"):
        bootstrap(db)


def test_migrations_are_numbered_without_a_gap_and_say_who_serves_them(tmp_path: Path) -> None:
    says = "-- Served by code of version 1 and later.\n"
    (tmp_path / "layout.txt").write_text("voids.reason\nf(text)\nsome_index\n")
    (tmp_path / "0001_first.sql").write_text(says)
    found = read(tmp_path)
    assert (found.version, found.layout.tables, found.layout.functions, found.layout.indexes) == (
        1, ["voids"], ("f(text)",), ("some_index",),
    )  # fmt: skip
    (tmp_path / "0003_third.sql").write_text(says)
    with pytest.raises(ValueError, match=r"without a gap, not \[1, 3\]"):
        migrations(tmp_path)
    (tmp_path / "0003_third.sql").rename(tmp_path / "0002_second.sql").write_text("SELECT 1")
    with pytest.raises(ValueError, match=r"0002_second\.sql does not say"):
        migrations(tmp_path)
    assert all(each.served_from <= each.number for each in known().migrations)
