"""Commands that share one rebuild: who may write when, and the rows of two commands are those of one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Flag
from threading import get_ident
from typing import Any

import pytest

from refold.projections.errors import BuildOfOtherCode
from refold.projections.replay import builder, building, fold_log, passes, together
from refold.projections.replay.command import Replay
from refold.projections.replay.passes import Led
from refold.projections.tables.declared import Declared
from refold.streams.errors import Lost
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database, connect
from refold.streams.settings import Settings
from tests.projections.test_replay import db, fold_live, quiet, receipts, retail, tables

__all__ = ["db", "receipts", "retail"]
HERE = {("a", 0): 5, ("a", 1): 7}


@pytest.fixture
def other(settings: Settings) -> Iterator[Database]:
    with connect(settings.dsn(), application_name="replay") as connection:
        yield connection


def test_a_flush_from_positions_that_have_moved_is_lost(db: Database) -> None:
    for group in ("build:1", "build:2"):
        positions.put(db, group, HERE)
    positions.hold(db, ["build:1", "build:2"], {("a", 0): 5})
    positions.put(db, "build:2", {("a", 0): 6})
    with pytest.raises(Lost) as lost:
        positions.hold(db, ["build:1", "build:2"], HERE)
    assert lost.value.places == (("a", 0),)
    positions.forget(db, "build:2")
    with pytest.raises(Lost):  # an old position never enters an emptied table
        positions.hold(db, ["build:1", "build:2"], {("a", 1): 7})


def test_a_pass_is_open_as_long_as_the_session_of_the_command_that_leads(
    db: Database, other: Database, settings: Settings
) -> None:
    with connect(settings.dsn(), application_name="replay") as leader:
        for number in (7, 8):
            leader.execute(f"SELECT pg_advisory_lock({0x5EF0D4}, {number}), pg_advisory_lock({0x5EF0D5}, 8)".encode())
        led = Led.of(db, [8, 9])
        assert led == Led(leader.info.backend_pid, (7, 8), (8,))
        assert Led.of(db, [9]) is None
        assert passes.is_open(other, led.session, [8])
        assert not passes.is_open(other, led.session, [7, 8])
        assert not passes.is_open(other, db.info.backend_pid, [8])
        assert not passes.is_asked(leader, [7, 8])
        passes.ask(other, [7, 8])
        assert passes.is_asked(leader, [8])
    while Led.of(db, [7, 8]) is not None:  # Postgres ends a session's locks one by one
        assert leader.closed


def test_two_commands_rebuild_to_the_rows_of_one(
    settings: Settings, db: Database, retail: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold_live(settings)
    before = tables(db, retail)
    monkeypatch.setattr(fold_log, "BATCH_RECORDS", 60)
    monkeypatch.setattr(building, "READ_RECORDS", 60)
    monkeypatch.setattr(builder, "FLUSH_S", 0.0)
    monkeypatch.setattr(together, "READ_RECORDS", 60)
    monkeypatch.setattr(together, "_LOOK_S", 0.0)
    begun, helped = Flag(), Flag()

    def wait_for_help(_done: int, _whole: int) -> None:
        begun.set()
        helped.wait(0.3)

    def run_noting_help(self: together.Work, *given: Any, original: Any = together.Work._turn) -> None:
        if get_ident() == helper[0]:
            helped.set()
        original(self, *given)

    def help_it() -> Any:
        helper.append(get_ident())
        begun.wait(30)
        with Replay(settings) as replay:
            return replay.join((), quiet)

    helper: list[int] = []
    monkeypatch.setattr(together.Work, "_turn", run_noting_help)
    with ThreadPoolExecutor(1) as pool:
        helping = pool.submit(help_it)
        with Replay(settings) as replay:
            led = replay.execute((), wait_for_help)
        joined = helping.result(60)
    assert (led.led, joined.led) == (True, False)
    assert all(model.differing == 0 for model in led.models)
    assert 0 < joined.records < led.records
    assert led.events + joined.events > max(led.events, joined.events)
    assert {(one.model, one.build, one.rows) for one in joined.models} == {
        (one.model, one.build, one.rows) for one in led.models
    }
    assert tables(db, retail) == before


def test_other_code_joins_no_rebuild(settings: Settings, db: Database, other: Database) -> None:
    fold_live(settings)
    row = db.execute(
        "INSERT INTO refold.builds (domain, model, fingerprint, status, served) SELECT domain, model, 'other', 'building', served"
        " FROM refold.builds WHERE model = 'baskets' LIMIT 1 RETURNING build"
    ).fetchone()
    assert row is not None
    other.execute("SELECT pg_advisory_lock(hashtextextended('refold/rebuild/retail.baskets', 0))")
    other.execute(f"SELECT pg_advisory_lock({0x5EF0D4}, {row[0]})".encode())
    with Replay(settings) as replay, pytest.raises(BuildOfOtherCode):
        replay.join(["baskets"], quiet)
