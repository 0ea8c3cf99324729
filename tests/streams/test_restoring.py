"""Tests that our processes do not write into a database during its restore, and go on by themselves after it."""

import re
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from refold.streams.errors import DatabaseUnavailable
from refold.streams.handler.ports import Wanted
from refold.streams.handler.tables import PostgresTables
from refold.streams.log.history import History
from refold.streams.postgres import positions
from refold.streams.postgres.connection import connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.postgres.restoring import HAS_KEYS
from refold.streams.refusals import may_pass
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS, append, claimed, fold_all, prepare
from tests.streams.logs import claim

CATEGORY, PLACE = "retail.basket", ("some.topic", 0)
ROOT = Path(__file__).parents[2]
KEYS = re.findall(r"refold\.(\w+)_pkey", HAS_KEYS)


def test_every_conflict_names_its_target() -> None:
    """Without one, a table that has no key yet takes everything, and twice."""
    found = [
        f"{file.relative_to(ROOT)}: {said}"
        for folder in ("api", "projections", "streams")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in {".py", ".sql"}
        for said in re.findall(r"ON CONFLICT(?! \()[^\n]*", file.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("table", KEYS)
def test_without_a_key_no_position_is_made_or_moved_and_with_it_again(database: str, table: str) -> None:
    with closing(connect(database, application_name="core")) as db:
        positions.stored(db, "core", [PLACE])
        ((definition,),) = db.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", (f"{table}_pkey",)
        ).fetchall()
        db.execute(f"ALTER TABLE refold.{table} DROP CONSTRAINT {table}_pkey".encode())
        with pytest.raises(psycopg.OperationalError, match=f"refold.{table} has no key") as problem:
            positions.stored(db, "core", [PLACE, ("other", 1)])
        assert may_pass(problem.value)
        assert db.execute(positions._LOCK, ("core", [PLACE[0]], [PLACE[1]])).fetchall() == []
        with pytest.raises(DatabaseUnavailable, match=f"refold.{table} has no key") as refused:
            bootstrap(db)
        assert refused.value.remedy == "Wait; if the restore was broken off, run it again (docs/backup.md)."
        assert db.execute("SELECT topic, part FROM refold.positions").fetchall() == [PLACE]
        db.execute(f"ALTER TABLE refold.{table} ADD CONSTRAINT {table}_pkey {definition}".encode())
        bootstrap(db)
        assert positions.stored(db, "core", [PLACE]) == {PLACE: 0}
        assert len(db.execute(positions._LOCK, ("core", [PLACE[0]], [PLACE[1]])).fetchall()) == 1


def test_no_table_is_made_while_pg_restore_is_at_work(database: str) -> None:
    with closing(connect(database, application_name="core")) as db:
        with psycopg.connect(database, application_name="pg_restore") as restorer:
            restorer.execute("DROP TABLE refold.voids CASCADE")
            restorer.commit()
            with pytest.raises(DatabaseUnavailable, match="is being restored"):
                bootstrap(db)
            assert db.execute("SELECT to_regclass('refold.voids')").fetchone() == (None,)
        while db.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = 'pg_restore'").fetchone():
            pass
        bootstrap(db)
        assert db.execute("SELECT to_regclass('refold.voids') IS NULL").fetchone() == (False,)


@pytest.mark.usefixtures("servers")
def test_a_handler_sees_no_claim_while_a_key_is_missing(settings: Settings) -> None:
    """Outcomes may not be filled yet: what was decided long ago would be decided again."""
    prepare(settings)
    append(settings, CATEGORY, 0, [claimed(claim("A", 1))])
    fold_all(settings)
    history = History(settings.kafka_servers(), settings.topic_prefix, DOMAINS)
    with closing(PostgresTables(settings.dsn(), DOMAINS, history)) as tables:
        assert tables.snapshots([Wanted(CATEGORY, 0, [], [])])[0].row is not None
        with psycopg.connect(settings.dsn()) as db:
            db.execute("ALTER TABLE refold.outcomes DROP CONSTRAINT outcomes_pkey")
        assert tables.snapshots([Wanted(CATEGORY, 0, [], [])])[0].row is None
        assert tables.claims([(CATEGORY, 0)]) == {}


def test_a_key_that_is_missing_is_waited_for() -> None:
    assert may_pass(psycopg.errors.InvalidColumnReference())
    assert not may_pass(psycopg.errors.UndefinedTable())
