"""`refold replay repair`: the named rows are the log's again, no other row is written, and readers see it at once."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from litestar.testing import TestClient

from benchmarks.log_writer import LogWriter
from refold.api.cli import exits
from refold.api.http.resources import Resources
from refold.projections.errors import RebuildRunning
from refold.projections.replay import repair as repairing
from refold.projections.replay.command import Replay
from refold.projections.replay.wanted_keys import Wanted
from refold.projections.tables import builds
from refold.projections.tables.declared import declared
from refold.streams import failpoints
from refold.streams.postgres.connection import Database
from refold.streams.settings import Settings
from tests.api.test_rebuild_command import Run, basket, by_hand, four_stores, replaying
from tests.projections.test_models import bytes_of
from tests.projections.test_replay import fold_live
from tests.streams.broker import DOMAINS

pytestmark = pytest.mark.usefixtures("servers")
KEY = "{},2026-01-02"


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    yield from four_stores(settings)


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return replaying(settings, monkeypatch, capsys)


def places(db: Database, model: str) -> dict[str, tuple[str, str]]:
    """Each row's transaction and place, by its key."""
    (found,) = [one for one in builds.builds(db) if (one.model, one.status) == (model, "serving")]
    key = declared(["retail"]).named(model).key_names[0]
    rows = db.execute(f"SELECT {key}::text, xmin::text, ctid::text FROM {found.schema}.{model}".encode()).fetchall()
    return {name: (xmin, place) for name, xmin, place in rows}


def table(db: Database, model: str) -> list[str]:
    return bytes_of(db, declared(["retail"]).named(model))


def damage(db: Database) -> None:
    """A changed, a missing and an extra row of the rollup, and a hidden column of the entity."""
    by_hand(db, "UPDATE {} SET revenue = 0 WHERE store_id = 7", "store_daily")
    by_hand(db, "DELETE FROM {} WHERE store_id = 8", "store_daily")
    by_hand(db, "UPDATE {} SET store_id = 99 WHERE store_id = 9", "store_daily")


def test_the_named_rows_are_the_logs_again_and_no_other_row_is_written(db: Database, run: Run) -> None:
    right, before = table(db, "store_daily"), places(db, "store_daily")
    damage(db)
    damaged = table(db, "store_daily")
    keys = [f"--keys={KEY.format(store)}" for store in (7, 8, 9, 99, 10)]
    code, plan, _ = run("repair", "store_daily", *keys)
    assert (code, plan["executed"], plan["differing"], plan["keys"]) == (exits.DONE, False, 4, 5)
    assert [(row["key"]["store_id"], row["kind"]) for row in plan["rows"]] == [
        ("7", "changed"),
        ("8", "missing"),
        ("9", "missing"),
        ("99", "extra"),
    ]
    assert plan["rows"][0]["columns"] == {"revenue": ["0.00", "1.10"]}
    assert table(db, "store_daily") == damaged
    code, done, _ = run("repair", "store_daily", *keys, "--execute")
    assert (code, done["executed"], done["changed"], done["missing"], done["extra"]) == (exits.DONE, True, 1, 2, 1)
    assert table(db, "store_daily") == right
    after = places(db, "store_daily")
    assert {name for name in after if after[name] != before[name]} == {"7", "8", "9"}
    assert run("verify", "--all")[0] == exits.DONE
    assert [one.status for one in builds.builds(db)] == ["serving"] * len(declared(["retail"]).layouts)
    code, again, _ = run("repair", "store_daily", *keys, "--execute")
    assert (code, again["differing"], places(db, "store_daily")) == (exits.DONE, 0, after)


@pytest.mark.parametrize("in_the_log", [False, True])
def test_a_row_of_an_entity_is_mended_from_its_stream_or_from_the_log_alike(
    db: Database, run: Run, monkeypatch: pytest.MonkeyPatch, in_the_log: bool
) -> None:
    if in_the_log:
        monkeypatch.setattr(repairing, "_FEW", 0)
        monkeypatch.setattr(repairing, "_MOST_SHARE", 0.0)
    right, before = table(db, "baskets"), places(db, "baskets")
    by_hand(db, "UPDATE {} SET _last_1 = 7 WHERE basket_id = 'b8'", "baskets")
    by_hand(db, "DELETE FROM {} WHERE basket_id = 'b9'", "baskets")
    code, done, _ = run("repair", "baskets", "--keys", "b8", "--keys", "b9", "--keys", "nobody", "--execute")
    assert (code, done["differing"], done["by_stream"]) == (exits.DONE, 2, not in_the_log)
    assert done["rows"][0]["columns"].keys() == {"_last_1"}, "a hidden column decides later merges"
    assert done["records"] == 4 or in_the_log
    after = places(db, "baskets")
    assert (table(db, "baskets"), {name for name in after if after[name] != before[name]}) == (right, {"b8", "b9"})


def test_what_a_verify_lists_is_repaired_and_a_filter_finds_served_rows(
    db: Database, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    right = table(db, "store_daily")
    damage(db)
    damaged = table(db, "store_daily")
    code, found, words = run(
        "repair", "store_daily", "--where", "revenue=eq.0", "--where", "or=(store_id.eq.7,store_id.eq.8)"
    )
    assert (code, found["keys"], [row["kind"] for row in found["rows"]]) == (exits.DONE, 1, ["changed"]), words
    assert run("repair", "store_daily", "--where", "store_id=eq.8")[1]["keys"] == 0, "a missing row is not served"
    assert table(db, "store_daily") == damaged

    code, verified, _ = run("verify", "--all")
    assert code == exits.DIFFERENT
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps(verified)))
    code, done, _ = run("repair", "store_daily", "--keys", "-", "--execute")
    assert (code, done["differing"], table(db, "store_daily")) == (exits.DONE, 4, right)

    verified["models"][-1]["listed"][0]["key"]["day"] = "never"
    (tmp_path / "verified").write_text(json.dumps(verified))
    code, _, words = run("repair", "store_daily", "--keys-file", str(tmp_path / "verified"), "--execute")
    assert (code, "key-unfit: 7,never is no key of store_daily" in words) == (exits.USAGE, True), words

    damage(db)
    (tmp_path / "keys").write_text("7,2026-01-02\n\n8,2026-01-02\n")
    code, done, _ = run(
        "repair", "store_daily", "--keys-file", str(tmp_path / "keys"), "--keys", KEY.format(9), "--execute"
    )
    assert (done["keys"], done["changed"], done["missing"]) == (3, 1, 2)
    assert run("repair", "store_daily", "--where", "store_id=gt.50", "--execute")[1]["extra"] == 1
    assert table(db, "store_daily") == right


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (("store_daily",), exits.USAGE, "name rows by --keys"),
        (("store_daily", "--keys", "7", "--where", "store_id=eq.7"), exits.USAGE, "name rows by --keys"),
        (("store_daily", "--keys", "7"), exits.USAGE, "row-key-invalid"),
        (("store_daily", "--keys", "7,2026-01-02", "--keys", "seven,2026-01-02"), exits.USAGE, "filter-invalid"),
        (("store_daily", "--keys", "99999999999999,2026-01-02"), exits.USAGE, "filter-invalid"),
        (("store_daily", "--where", "stores=eq.7"), exits.USAGE, "parameter-unknown"),
        (("store_daily", "--where", "limit=5"), exits.USAGE, "--where takes filters alone"),
        (("store_daily", "--where", "store_id=gt.abc"), exits.USAGE, "filter-invalid: 'abc' is no integer (store_id)"),
        (("store_daily", "--where", "day=gt.soon"), exits.USAGE, "filter-invalid: 'soon' is no date (day)"),
        (
            ("store_daily", "--where", "or=(store_id.eq.1,day.eq.soon)"),
            exits.USAGE,
            "filter-invalid: 'soon' is no date",
        ),
        (("store_daily", "--keys-file", "nowhere"), exits.USAGE, "file-unreadable"),
        (("store_totals", "--keys", "7"), exits.USAGE, "unknown-model"),
    ],
)
def test_what_names_no_rows_is_refused_and_leaves_nothing(
    db: Database, run: Run, arguments: tuple[str, ...], exit_code: int, says: str
) -> None:
    code, _, words = run("repair", *arguments, "--execute")
    assert (code, says in words) == (exit_code, True), words
    assert [one.status for one in builds.builds(db)] == ["serving"] * len(declared(["retail"]).layouts)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE refold.builds SET fingerprint = 'other' WHERE model = 'store_daily'", "build-of-other-code"),
        ("UPDATE refold.builds SET detached_code = 'fingerprint' WHERE model = 'store_daily'", "cannot-repair"),
        ("ALTER TABLE {} DROP CONSTRAINT store_daily_pkey", "not-compared"),
    ],
)
def test_a_live_table_that_is_not_this_codes_is_refused(db: Database, run: Run, change: str, says: str) -> None:
    by_hand(db, change, "store_daily")
    code, _, words = run("repair", "store_daily", "--keys", KEY.format(7), "--execute")
    assert (code, says in words) == (exits.DIFFERENT if says == "not-compared" else exits.PRECONDITION, True), words


@pytest.mark.parametrize("at", ["replay.before-repair", "replay.within-repair", "replay.after-repair"])
def test_a_killed_repair_is_whole_or_not_done_and_holds_nobody_up(
    settings: Settings, db: Database, run: Run, tmp_path: Path, at: str
) -> None:
    model, key = ("baskets", "b7") if at == "replay.before-repair" else ("store_daily", KEY.format(7))
    right = table(db, model)
    by_hand(db, "UPDATE {} SET lines = 7 WHERE store_id = 7", model)
    damaged = table(db, model)
    (tmp_path / at).write_text("kill")
    command = [sys.executable, "-m", "refold.api.cli.app", "replay", "repair", model, "--keys", key, "--execute"]
    armed = {**os.environ, **settings.environment(), failpoints.VARIABLE: str(tmp_path)}
    assert subprocess.run(command, env=armed, capture_output=True, check=False, timeout=120).returncode == -9
    assert table(db, model) == (right if at == "replay.after-repair" else damaged)
    LogWriter(settings, DOMAINS, epoch=2).write(basket("after", 11))
    fold_live(settings)
    code, done, _ = run("repair", model, "--keys", key, "--execute")
    assert (code, done["differing"]) == (exits.DONE, 0 if at == "replay.after-repair" else 1)
    assert run("verify", model)[1]["equal"]
    assert [one.status for one in builds.builds(db)] == ["serving"] * len(declared(["retail"]).layouts)


@pytest.mark.parametrize(("model", "key"), [("store_daily", KEY.format(20)), ("baskets", "b20")])
def test_live_traffic_until_the_last_moment_is_in_the_repaired_row(
    settings: Settings, db: Database, run: Run, monkeypatch: pytest.MonkeyPatch, model: str, key: str
) -> None:
    writer, refused = LogWriter(settings, DOMAINS, epoch=2), []
    writer.write(basket("b20", 20))
    fold_live(settings)

    def failpoint(name: str) -> None:
        """A further line of the same basket; and another command on the same model."""
        if name == "replay.before-repair":
            writer.write(basket("b20", 20)[1:])
            fold_live(settings)
            with pytest.raises(RebuildRunning):
                another(settings, model)
            refused.append(name)

    by_hand(db, "UPDATE {} SET lines = 7 WHERE store_id = 20", model)
    monkeypatch.setattr(repairing, "failpoint", failpoint)
    code, done, _ = run("repair", model, "--keys", key, "--execute")
    assert (code, done["rows"][0]["columns"]["lines"]) == (exits.DONE, ["8", "2"])
    assert refused
    assert run("verify", "--all")[0] == exits.DONE


def another(settings: Settings, model: str) -> None:
    with Replay(settings) as replay:
        replay.repair(model, Wanted([]), lambda _done, _of: None, execute=True)


def test_readers_and_caches_see_a_repaired_row_though_no_position_moved(
    settings: Settings, db: Database, run: Run
) -> None:
    asked = "/v1/retail/store_daily?store_id=eq.7&select=store_id,revenue"
    by_hand(db, "UPDATE {} SET revenue = 5 WHERE store_id = 7", "store_daily")
    with TestClient(Resources(settings, DOMAINS).application()) as client:
        before = client.get(asked)
        assert [row["revenue"] for row in before.json()] == ["5.00"]
        known = {"If-None-Match": before.headers["ETag"]}
        assert client.get(asked, headers=known).status_code == 304
        assert run("repair", "store_daily", "--keys", KEY.format(7))[1]["differing"] == 1
        assert client.get(asked, headers=known).status_code == 304, "a plan changes nothing"
        assert run("repair", "store_daily", "--keys", KEY.format(7), "--execute")[0] == exits.DONE
        for headers in ({}, known):
            after = client.get(asked, headers=headers)
            assert (after.status_code, [row["revenue"] for row in after.json()]) == (200, ["1.10"])
        assert after.headers["Refold-Position"] == before.headers["Refold-Position"]
        assert after.headers["ETag"] != before.headers["ETag"]
        known = {"If-None-Match": after.headers["ETag"]}
        assert run("repair", "store_daily", "--keys", KEY.format(7), "--execute")[1]["differing"] == 0
        assert client.get(asked, headers=known).status_code == 304, "nothing was written"


def test_the_pages_lines_run_and_a_retired_build_keeps_its_rows(
    db: Database, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = table(db, "store_daily")
    assert run("store_daily")[0] == exits.DONE, "a rebuild, so that a build is retired"
    (retired,) = [one for one in builds.builds(db) if (one.model, one.status) == ("store_daily", "retired")]
    kept = f"SELECT t::text, xmin::text FROM {retired.schema}.store_daily t ORDER BY 1".encode()
    db.execute(f"UPDATE {retired.schema}.store_daily SET revenue = 3".encode())
    before = db.execute(kept).fetchall()
    page = (Path(__file__).parents[2] / "docs/replay.md").read_text().partition("\n## Repair\n```\n")[2]
    lines = [shlex.split(line, comments=True) for line in page.partition("```")[0].splitlines()]
    assert len(lines) == 4
    changed = []
    for line in lines:
        by_hand(db, "UPDATE {} SET revenue = 0 WHERE store_id = 7", "store_daily")
        if "|" in line:
            bar = line.index("|")
            verified = run(*[word for word in line[2:bar] if word != "--json"])[1]
            monkeypatch.setattr("sys.stdin", StringIO(json.dumps(verified)))
            line = line[bar + 1 :]  # noqa: PLW2901 - what is left of it
        assert line[:2] == ["refold", "replay"]
        code, done, words = run(*line[2:])
        assert code == exits.DONE, words
        changed.append((done["executed"], done["changed"]))
    assert changed == [(False, 1), (True, 1), (True, 1), (True, 1)]
    assert (table(db, "store_daily"), db.execute(kept).fetchall()) == (right, before)
