"""Tests the rows of running processes, which live and die with them, and the fingerprint of the code on disk."""

import logging
import sys
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from refold.streams import standing
from refold.streams.errors import Lost
from refold.streams.operation.presence import (
    MISSING_NOW,
    Live,
    Me,
    Presence,
    disagreements,
    ending,
    live_processes,
    stand_still,
    troubles,
)
from refold.streams.operation.running_code import Code, running_code
from refold.streams.postgres.connection import Database, connect

V1, V2 = Code("shop", "/one/shop/schemas.py", "aa"), Code("shop", "/two/shop/schemas.py", "bb")
ME = Me("models", [V1], {("shop", "sales"): "f00d"})


def seen_by(db: Database) -> list[tuple[str, int]]:
    return [(live.role, len(live.writes)) for live in live_processes(db)]


@pytest.mark.servers
def test_a_process_is_seen_from_its_start_to_its_end(database: str) -> None:
    with connect(database, application_name="test") as db:
        assert live_processes(db) == []
        with Presence(database, ME):
            (live,) = live_processes(db)
            assert (live.process, live.role, live.code) == (ME.process, "models", (V1,))
            assert live.writes == {("shop", "sales"): "f00d"}
        assert live_processes(db) == []


@pytest.mark.servers
def test_a_killed_process_is_stale_and_a_stopped_one_that_goes_on_is_seen_again_and_the_last_of_a_role_is_kept(
    database: str,
) -> None:
    other = Me("core", [V1])
    with connect(database, application_name="test") as db, Presence(database, ME):
        other.beat(db)
        db.execute("UPDATE refold.processes SET seen_at = now() - interval '11 s' WHERE role = 'core'")
        assert seen_by(db) == [("models", 1)]
        other.beat(db)
        assert seen_by(db) == [("core", 0), ("models", 1)]
        db.execute("UPDATE refold.processes SET seen_at = now() - interval '2 min' WHERE role = 'core'")
        ME.beat(db)
        assert db.execute("SELECT role FROM refold.processes ORDER BY 1").fetchall() == [("core",), ("models",)]
        assert [role for role, _ in db.execute(MISSING_NOW.encode()).fetchall()] == ["core"]
        Me("core", [V1]).beat(db)
        ME.beat(db)
        assert db.execute("SELECT count(*) FROM refold.processes").fetchall() == [(2,)], (
            "another has come: it is forgotten"
        )
        assert db.execute(MISSING_NOW.encode()).fetchall() == []


@pytest.mark.servers
def test_a_process_that_may_not_write_goes_on_without_a_row(database: str, caplog: pytest.LogCaptureFixture) -> None:
    with connect(database, application_name="test") as db, caplog.at_level(logging.INFO):
        role = f"r{ME.process.hex}"
        db.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(role)))
        with Presence(psycopg.conninfo.make_conninfo(database, user=role, password="x"), ME):
            assert live_processes(db) == []
        db.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    assert "does not show this process: permission denied" in caplog.text


@pytest.mark.servers
def test_what_a_process_waits_for_and_what_it_ended_by_are_told(database: str) -> None:
    part = object()
    with connect(database, application_name="test") as db:
        with Presence(database, ME):
            standing.waits(part, "no space left on device")
            ME.beat(db)
            (found,) = troubles(db)
            assert (found.role, found.says, found.has_ended) == ("models", "no space left on device", False)
            assert stand_still([found]) == [], "not yet"
            assert stand_still([replace(found, seconds=11)]) == [replace(found, seconds=11)]
            standing.goes_on(part)
            ME.beat(db)
            assert troubles(db) == []
        assert live_processes(db) == []

        for _ in range(2):
            with pytest.raises(Lost), Presence(database, Me("core", [V1])):
                raise Lost([])
        lost = "ended: lost: the stored position is not where the chunk starts: ()"
        assert [each.says for each in troubles(db)] == [lost, lost]
        assert len(stand_still(troubles(db))) == 2
        assert stand_still(troubles(db)[:1]) == [], "once is no more than a death"


@pytest.mark.servers
def test_a_deliberate_end_is_told_once_and_under_no_name(database: str) -> None:
    with connect(database, application_name="test") as db, Presence(database, Me("models", [V1])):
        ending(SystemExit("the database was emptied"))  # a process that ends so does not leave
        assert [each.says for each in troubles(db)] == ["ended: the database was emptied"]


def test_a_server_that_is_away_ends_nothing() -> None:
    with Presence("postgresql://u:p@127.0.0.1:9/d", ME):
        pass


def live(role: str, code: Code, version: str) -> Live:
    return Live(ME.process, role, "host", 7, None, 0.0, version, (code,), {})  # type: ignore[arg-type]  # when it began is not looked at


def test_two_codes_at_once_are_told_with_their_files_and_processes() -> None:
    import refold

    same = [live("core", V1, refold.__version__), live("api", V1, refold.__version__)]
    assert disagreements(same, [V1]) == []
    assert disagreements(same, [replace(V1, file="/copy/shop/schemas.py")]) == []
    (told,) = disagreements([*same, live("models", V2, refold.__version__)], [V1])
    assert told == (
        "different code of domain shop runs at once: aa from /one/shop/schemas.py in this command, core 7@host, api 7@host;"
        " bb from /two/shop/schemas.py in models 7@host"
    )
    (told,) = disagreements(same, [V2])
    assert "bb from /two/shop/schemas.py in this command" in told
    assert disagreements([live("core", V1, "0.0.1")], [V1]) == [
        f"different versions of Refold run at once: 0.0.1, {refold.__version__}"
    ]


def test_the_fingerprint_is_of_all_files_of_the_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prints = []
    for version, rule in (("one", "x = 1"), ("two", "x = 1"), ("three", "x = 2")):
        package = tmp_path / version / "printed_shop"
        (package / "schemas").mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "schemas" / "__init__.py").touch()
        (package / "rules.py").write_text(rule)
        monkeypatch.syspath_prepend(tmp_path / version)
        for name in ("printed_shop", "printed_shop.schemas"):
            sys.modules.pop(name, None)
        (code,) = running_code(["printed_shop"])
        assert code.file == str(package / "schemas" / "__init__.py")
        prints.append(code.fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_refolds_own_domain_has_a_fingerprint() -> None:
    (code,) = running_code(["retail"])
    assert code.file.endswith("retail/schemas/__init__.py")
    assert len(code.fingerprint) == 12
