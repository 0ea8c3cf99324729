"""`refold replay rebuild --execute` against a table that was changed by hand: its exit code, its words and the rows."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from litestar.testing import TestClient

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.api.http.resources import Resources
from refold.projections.replay import as_of, kept_builds, moments, promote, verify_beside
from refold.projections.replay.sampling import Sample
from refold.projections.tables import builds
from refold.projections.tables.declared import declared
from refold.retail.schemas.basket import BASKET, BasketOpened, ItemScanned
from refold.streams import failpoints
from refold.streams.postgres.connection import Database, connect
from refold.streams.settings import Settings
from tests.projections.test_replay import fold_live
from tests.streams.broker import DOMAINS, prepare

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SCANNED = ItemScanned(store_id=7, product_id=5, quantity=1, amount=Decimal("1.10"), discount=Decimal("0.00"))
Run = Callable[..., tuple[int, Any, str]]
TABLES, VIEWS = len(declared(["retail"]).layouts), len(declared(["retail"]).views)
VERBS = ("builds", "promote", "rollback", "prune", "verify", "preview", "repair", "as-of", "snapshots")


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    yield from four_stores(settings)


def four_stores(settings: Settings) -> Iterator[Database]:
    """Four stores with a line each."""
    prepare(settings)
    LogWriter(settings, DOMAINS).write([event for store in (7, 8, 9, 10) for event in basket(f"b{store}", store)])
    fold_live(settings)
    with connect(settings.dsn(), application_name="test") as connection:
        yield connection


def basket(name: str, store: int) -> list[Decided]:
    """A basket with one line."""
    opened, scanned = BasketOpened(store_id=store), ItemScanned(**{**_fields(SCANNED), "store_id": store})
    return [Decided(BASKET.name, name, NOW, event) for event in (opened, scanned)]


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return replaying(settings, monkeypatch, capsys)


def replaying(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`refold replay`, or without a verb `rebuild --execute`: its exit code, its JSON, its words."""
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)

    def command(*arguments: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        verb = [] if arguments[0] in VERBS else ["rebuild", "--execute"]
        code = cli.run(["replay", *verb, *arguments, "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else None, said.err

    return command


def by_hand(db: Database, statement: str, model: str) -> None:
    """A statement on the model's own table: through its view nothing can be written."""
    (found,) = [build for build in builds.builds(db) if (build.model, build.status) == (model, "serving")]
    db.execute(statement.format(f"{found.schema}.{model}").encode())


def revenue(db: Database) -> list[tuple[int, Decimal]]:
    return db.execute("SELECT store_id, revenue FROM retail.store_daily ORDER BY 1").fetchall()


@pytest.mark.usefixtures("servers")
def test_a_row_changed_by_hand_is_named_and_accepted_the_log_decides(db: Database, run: Run) -> None:
    right = revenue(db)
    by_hand(db, "UPDATE {} SET revenue = 0, lines = 5 WHERE store_id = 7", "store_daily")

    code, found, words = run("store_daily")
    assert (code, found["code"]) == (exits.DIFFERENT, "rebuild-differs")
    assert "retail.store_daily: 1 of 4 rows differ (1 changed, 0 missing, 0 extra)" in words
    assert (found["differing"], found["columns"]) == (1, {"lines": 1, "revenue": 1})
    assert found["listed"] == [
        {
            "key": {"store_id": "7", "day": "2026-01-02"},
            "kind": "changed",
            "columns": {"lines": ["5", "1"], "revenue": ["0.00", "1.10"]},
        }
    ]
    for gates, why in [
        (["--expect-changes", "store_daily.revenue"], "also in lines"),
        (["--max-changed", "24.9%"], "more than 24.9%"),
        (["--expect-changes", "store_daily", "--max-changed", "0%"], "more than 0%"),
    ]:
        code, found, words = run("store_daily", *gates)
        assert (code, found["code"]) == (exits.DIFFERENT, "rebuild-differs")
        assert why in words
    assert revenue(db)[0] == (7, Decimal(0)), "nothing was promoted"

    gates = [
        "--expect-changes",
        "store_daily.revenue",
        "--expect-changes",
        "retail.store_daily.lines",
        "--max-changed",
        "25%",
    ]
    code, found, _ = run("store_daily", *gates)
    assert (code, found["models"][0]["differing"], len(found["models"][0]["differences"])) == (exits.DONE, 1, 1)
    assert revenue(db) == right

    by_hand(db, "DELETE FROM {} WHERE store_id = 8", "store_daily")
    assert run("store_daily", "--expect-changes", "store_daily")[0] == exits.DIFFERENT, "which rows there are"
    code, found, _ = run("store_daily", "--accept")
    assert (code, found["models"][0]["differing"], revenue(db)) == (exits.DONE, 1, right)


def states(run: Run) -> list[tuple[int, str]]:
    code, found, _ = run("builds", "store_daily")
    assert code == exits.DONE
    return [(one["build"], one["state"]) for one in found]


@pytest.mark.usefixtures("servers")
def test_a_rollback_shows_the_retired_build_with_todays_rows_and_a_second_one_undoes_it(
    settings: Settings, db: Database, run: Run
) -> None:
    by_hand(db, "UPDATE {} SET revenue = 100 WHERE store_id = 7", "store_daily")
    assert run("store_daily", "--accept")[0] == exits.DONE
    (old, retired), (new, live) = states(run)
    assert (retired, live) == ("retired", "live")
    LogWriter(settings, DOMAINS, epoch=2).write(basket("later", 7))
    fold_live(settings)

    code, plan, words = run("rollback", "store_daily")
    (change,) = plan["models"]
    assert (code, plan["executed"], change["live"], change["shown"], change["differing"]) == (0, False, new, old, 1)
    assert change["differences"][0]["columns"] == {"revenue": ["2.20", "101.10"]}
    assert "Add --execute" in words or words == ""
    assert revenue(db)[0] == (7, Decimal("2.20")), "a plan changes nothing"

    code, done, _ = run("rollback", "retail.store_daily", "--execute")
    assert (code, done["executed"], states(run)) == (exits.DONE, True, [(old, "live"), (new, "retired")])
    assert revenue(db)[0] == (7, Decimal("101.10")), "the retired build was written meanwhile"
    assert run("rollback", "store_daily", "--execute")[0] == exits.DONE
    assert (revenue(db)[0], states(run)) == ((7, Decimal("2.20")), [(old, "retired"), (new, "live")])


@pytest.mark.usefixtures("servers")
def test_prune_says_what_it_frees_and_then_there_is_nothing_to_go_back_to(db: Database, run: Run) -> None:
    for names in (["store_daily"], ["baskets"]):
        assert run(*names)[0] == exits.DONE
    retired = by_state(run, "retired")
    code, plan, _ = run("prune")
    assert (code, plan["executed"], [one["model"] for one in plan["builds"]]) == (0, False, ["baskets", "store_daily"])
    assert plan["bytes"] == sum(one["bytes"] for one in plan["builds"]) > 0
    assert [one["rows"] for one in plan["builds"]] == [4, 4]
    assert by_state(run, "retired") == retired

    db.execute(f"CREATE VIEW public.mine AS SELECT * FROM refold_b{retired[0]}.baskets".encode())
    code, _, words = run("prune", "baskets", "--execute")
    assert (code, "build-in-use" in words, "public.mine" in words) == (exits.PRECONDITION, True, True)
    db.execute("DROP VIEW public.mine")
    assert run("prune", "--execute")[0] == exits.DONE
    assert by_state(run, "retired") == []
    assert db.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'refold\\_b%'").fetchone() == (TABLES,)
    code, _, words = run("rollback", "store_daily", "--execute")
    assert (code, "build-missing: retail.store_daily has no retired build" in words) == (exits.PRECONDITION, True)
    assert run("prune", "--execute")[1]["builds"] == []


def by_state(run: Run, state: str) -> list[int]:
    return [one["build"] for one in run("builds")[1] if one["state"] == state]


@pytest.mark.usefixtures("servers")
def test_a_refused_rebuild_leaves_a_shadow_that_is_promoted_without_another_rebuild(db: Database, run: Run) -> None:
    right = revenue(db)
    by_hand(db, "UPDATE {} SET revenue = 0 WHERE store_id = 7", "store_daily")
    assert run("promote", "store_daily")[0] == exits.PRECONDITION
    assert run("store_daily")[0] == exits.DIFFERENT
    code, plan, _ = run("promote", "store_daily")
    assert (code, plan["executed"], plan["models"][0]["differing"]) == (exits.DONE, False, 1)
    code, found, _ = run("promote", "store_daily", "--execute")
    assert (code, found["code"]) == (exits.DIFFERENT, "rebuild-differs")
    assert revenue(db)[0] == (7, Decimal(0))
    assert run("promote", "store_daily", "--expect-changes", "store_daily.revenue", "--execute")[0] == exits.DONE
    assert (revenue(db), [state for _, state in states(run)]) == (right, ["retired", "live"])
    assert run("prune", "--unpromoted", "--execute")[0] == exits.DONE


@pytest.mark.usefixtures("servers")
def test_a_build_that_would_show_older_rows_or_is_of_other_code_is_refused_with_its_code(
    db: Database, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_builds, "_CATCHES_UP_S", 0.2)
    assert run("store_daily")[0] == exits.DONE
    before = states(run)
    for change, why in [
        ("detached_code = 'model-failed', detached_reason = 'r'", "build-behind"),
        ("detached_code = 'fingerprint', detached_reason = 'r'", "build-behind"),
        ("fingerprint = 'other'", "build-of-other-code"),
    ]:
        db.execute(f"UPDATE refold.builds SET {change} WHERE status = 'retired'".encode())
        for execute in ([], ["--execute"]):
            code, _, words = run("rollback", "store_daily", *execute)
            assert (code, f"refold: {why}: " in words) == (exits.PRECONDITION, True), words
    assert states(run) == before
    assert [one["foreign"] for one in run("builds", "store_daily")[1]] == [True, False]


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("verb", ["rollback", "promote", "prune", "verify"])
def test_two_commands_on_the_builds_of_one_model_are_refused(db: Database, run: Run, verb: str) -> None:
    db.execute("SELECT pg_advisory_lock(hashtextextended('refold/rebuild/retail.store_daily', 0))")
    code, _, words = run(verb, "store_daily", *([] if verb == "verify" else ["--execute"]))
    assert (code, "rebuild-running: another command works on the builds of store_daily" in words) == (
        exits.FAILED,
        True,
    )


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def kept(db: Database) -> list[object]:
    """Everything that readers and live folding see: rows with their places, positions, parks, builds."""
    (live,) = [b for b in builds.builds(db) if (b.model, b.status) == ("store_daily", "serving")]
    return [
        db.execute(statement.encode()).fetchall()
        for statement in (
            f"SELECT xmin::text, ctid::text, * FROM {live.schema}.store_daily ORDER BY 2",
            "SELECT grp, topic, part, next_offset FROM refold.positions ORDER BY 1, 2, 3",
            "SELECT * FROM refold.parked",
            "SELECT build, status, changed_at FROM refold.builds WHERE status <> 'dropped' ORDER BY 1",
        )
    ]


@pytest.mark.usefixtures("servers")
def test_verify_names_each_row_that_differs_and_changes_nothing(db: Database, run: Run) -> None:
    assert run("store_daily")[0] == exits.DONE
    before = kept(db)
    code, found, _ = run("verify", "--all")
    assert (code, found["equal"], {one["model"]: one["served"] for one in found["models"]}) == (
        exits.DONE,
        True,
        {"basket_lines": 4, "baskets": 4, "campaigns": 0, "coupons": 0, "households": 0, "product_sales": 1, "rejections": 0, "store_daily": 4},
    )  # fmt: skip
    assert kept(db) == before

    by_hand(db, "UPDATE {} SET revenue = 0 WHERE store_id = 7", "store_daily")
    by_hand(db, "DELETE FROM {} WHERE store_id = 8", "store_daily")
    by_hand(db, "UPDATE {} SET store_id = 99 WHERE store_id = 9", "store_daily")
    before = kept(db)
    code, found, _ = run("verify", "store_daily")
    (model,) = found["models"]
    assert (code, found["equal"]) == (exits.DIFFERENT, False)
    assert {name: model[name] for name in ("changed", "missing", "extra")} == {"changed": 1, "missing": 2, "extra": 1}
    assert [(one["key"]["store_id"], one["kind"]) for one in model["listed"]] == [
        ("7", "changed"),
        ("8", "missing"),
        ("9", "missing"),
        ("99", "extra"),
    ]
    assert model["listed"][0]["columns"] == {"revenue": ["0.00", "1.10"]}
    assert kept(db) == before


@pytest.mark.usefixtures("servers")
def test_verify_compares_at_one_position_though_live_tables_move_on(
    settings: Settings, db: Database, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reached = LogWriter(settings, DOMAINS, epoch=2), []

    def failpoint(name: str) -> None:
        """Live traffic before the tables stand still, and after the snapshot is taken."""
        reached.append(name)
        writer.write(basket(name, 20 + len(reached)))
        fold_live(settings)

    monkeypatch.setattr(verify_beside, "failpoint", failpoint)
    code, found, _ = run("verify", "store_daily")
    assert reached == ["replay.before-meet", "replay.after-meet"]
    assert (code, found["models"][0]["rows"], found["models"][0]["served"]) == (exits.DONE, 5, 5)
    assert len(revenue(db)) == 6


@pytest.mark.usefixtures("servers")
def test_a_table_that_cannot_be_verified_is_not_called_equal(db: Database, run: Run) -> None:
    for change, why in [
        ("detached_code = 'fingerprint', detached_reason = 'r'", "the live table stands by itself"),
        ("detached_code = NULL, fingerprint = 'other'", "of the declaration other, which this code lacks"),
    ]:
        db.execute(f"UPDATE refold.builds SET {change} WHERE model = 'store_daily'".encode())
        code, found, _ = run("verify", "store_daily")
        assert (code, found["equal"], why in found["models"][0]["why"]) == (exits.DIFFERENT, False, True)


@pytest.mark.usefixtures("servers")
def test_a_preview_names_the_columns_and_rows_that_a_declaration_would_change_and_changes_nothing(
    db: Database, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("preview", "store_daily")[0] == exits.DONE
    before = kept(db)
    (tmp_path / "shop_next.py").write_text(NEXT)
    monkeypatch.syspath_prepend(tmp_path)
    code, found, _ = run("preview", "store_daily", "--code", "shop_next")
    (model,) = found["models"]
    assert (code, found["changes"], model["why"], model["rows"], model["served"]) == (exits.DIFFERENT, True, None, 4, 4)
    assert model["added"] == {"most": "integer"}
    assert model["removed"] == {"baskets_paid": "bigint", "discount": "numeric(38,2)"}
    assert model["retyped"] == {"paid": ["numeric(38,2)", "bigint"]}
    assert (model["changed"], model["missing"], model["extra"]) == (4, 0, 0)
    assert model["columns"] == {"lines": 1, "quantity": 1, "revenue": 4, "baskets_opened": 1}
    assert [(one["key"]["store_id"], one["kind"]) for one in model["listed"]] == [
        (store, "changed") for store in ("7", "8", "9", "10")
    ]
    assert model["listed"][-1]["columns"] == {
        "lines": ["1", "0"],
        "quantity": ["1", "0"],
        "revenue": ["1.10", "0.00"],
        "baskets_opened": ["1", "0"],
    }
    assert [one["columns"] for one in model["listed"][:-1]] == [{"revenue": ["1.10", "0.00"]}] * 3
    assert model["rebuild_bytes"] > 0
    assert kept(db) == before

    code, found, _ = run("preview", "product_sales", "--code", "shop_next")
    (model,) = found["models"]
    assert (code, model["why"]) == (exits.DIFFERENT, "its rows get another key: product_id before, store_id then")
    assert (model["rows"], model["served"], model["listed"]) == (4, 1, [])
    code, found, _ = run("preview", "store_lines", "--code", "shop_next")
    (model,) = found["models"]
    assert (code, model["why"], model["build"]) == (exits.DIFFERENT, "no table of it is built yet", None)
    assert (model["rows"], model["added"]) == (4, {"store_id": "integer", "lines": "bigint"})
    assert kept(db) == before


@pytest.mark.usefixtures("servers")
def test_a_preview_of_a_sample_compares_like_with_like_and_says_what_it_estimates(
    settings: Settings, db: Database, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    baskets = {f"s{number}": 100 + number % 25 for number in range(60)}
    LogWriter(settings, DOMAINS, epoch=2).write(
        [event for name, store in baskets.items() for event in basket(name, store)]
    )
    fold_live(settings, 2)
    baskets |= {f"b{store}": store for store in (7, 8, 9, 10)}
    chosen = {name for name in baskets if Sample.read("50%").holds(name)}
    assert 20 < len(chosen) < 44

    code, found, _ = run("preview", "baskets", "--sample", "50%")
    (model,) = found["models"]
    assert (code, model["rows"], model["served"]) == (exits.DONE, len(chosen), len(chosen))
    wrong = {f"s{number}" for number in range(12)}
    by_hand(db, "UPDATE {} SET total = 99 WHERE basket_id IN ('" + "', '".join(sorted(wrong)) + "')", "baskets")
    for percent in ("50%", "100%"):
        code, found, _ = run("preview", "baskets", "--sample", percent)
        (model,) = found["models"]
        met = wrong & chosen if percent == "50%" else wrong
        assert (code, {one["key"]["basket_id"] for one in model["listed"]}) == (exits.DIFFERENT, met)
        assert (model["changed"], model["missing"], model["extra"]) == (len(met), 0, 0)
        assert (model["sampled"]["whole"], model["sampled"]["both_folded"]) == (64, False)
        guess = model["sampled"]["estimate"]
        assert guess["low"] <= 12 <= guess["high"]
    assert guess == {"differing": 12, "low": 12, "high": 12}

    (tmp_path / "shop_next.py").write_text(NEXT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    stores = {baskets[name] for name in chosen}
    for more in ([], ["--processes", "2"]):
        code, found, words = run("preview", "store_daily", "--code", "shop_next", "--sample", "50%", *more)
        (model,) = found["models"]
        assert (model["why"], model["rows"], model["served"]) == (
            None,
            len(stores),
            len(stores),
        )
        assert {int(one["key"]["store_id"]) for one in model["listed"]} == stores
        assert model["sampled"] == {
            "percent": "50%", "compared": len(stores), "whole": 29, "both_folded": True, "estimate": None
        }  # fmt: skip
        assert "have ended early" not in words
    db.execute("UPDATE refold.builds SET fingerprint = 'other' WHERE model = 'store_daily'")
    code, found, _ = run("preview", "store_daily", "--sample", "50%")
    assert "this code lacks the served declaration other" in found["models"][0]["why"]
    assert (code, found["models"][0]["sampled"]) == (exits.DIFFERENT, None)
    assert {state for _, state in states(run)} == {"live"}


@pytest.mark.usefixtures("servers")
def test_a_preview_of_all_models_needs_no_names_and_a_sample_is_a_share(db: Database, run: Run) -> None:
    code, found, _ = run("preview", "--all", "--processes", "2")
    assert code == exits.DONE
    assert [one["model"] for one in found["models"]] == sorted(one.model for one in builds.builds(db))
    assert run("preview")[0] == exits.USAGE
    for wrong in ("0%", "101%", "10", "ten%"):
        code, _, words = run("preview", "store_daily", "--sample", wrong)
        assert (code, "sample-invalid" in words) == (exits.USAGE, True)


NEXT = """
from refold.projections import OCCURRED_AT, Rollup, day, events, field, key
from refold.retail.schemas.basket import BASKET, BasketOpened, BasketPaid, ItemScanned

near = field("store_id").lt(10)
opened, scanned = events(BASKET, BasketOpened).where(near), events(BASKET, ItemScanned).where(near)
dear, paid = scanned.where(field("amount").gt(2)), events(BASKET, BasketPaid)
store = key("store_id", "Store.")
columns = {
    "lines": scanned.count("Lines."),
    "quantity": scanned.sum("quantity", "Units."),
    "revenue": dear.sum("amount", "Amount of dear lines."),
    "baskets_opened": opened.count("Baskets opened."),
    "paid": paid.count("Baskets paid."),
    "largest_basket": paid.max("total", "Largest basket."),
    "most": scanned.max("quantity", "Units of the largest line."),
}
lines = {"lines": scanned.count("Lines.")}
keys = {"store_id": store, "day": key(day(OCCURRED_AT), "Day.")}
READ_MODELS = (
    Rollup(name="store_daily", domain="retail", description="Days.", key=keys, columns=columns),
    Rollup(name="product_sales", domain="retail", description="Stores.", key={"store_id": store}, columns=lines),
    Rollup(name="store_lines", domain="retail", description="Stores.", key={"store_id": store}, columns=lines),
)
"""


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize(
    ("at", "then"),
    [
        ("replay.before-meet", ["prune", "--execute"]),
        ("replay.after-meet", ["verify", "store_daily"]),
        ("replay.before-preview", ["preview", "store_daily"]),
        ("replay.after-preview", ["prune", "--execute"]),
    ],
)
def test_a_killed_verify_or_preview_holds_nobody_up_and_its_build_is_dropped(
    settings: Settings, db: Database, run: Run, tmp_path: Path, at: str, then: list[str]
) -> None:
    verb = "verify" if at.endswith("meet") else "preview"
    before = kept(db)
    (tmp_path / at).write_text("kill")
    command = [sys.executable, "-m", "refold.api.cli.app", "replay", verb, "store_daily"]
    armed = {**os.environ, **settings.environment(), failpoints.VARIABLE: str(tmp_path)}
    assert subprocess.run(command, env=armed, capture_output=True, check=False, timeout=120).returncode == -9
    assert [state for _, state in states(run)] == ["live", "verifying" if verb == "verify" else "previewing"]
    fold_live(settings)
    assert run(*then)[0] == exits.DONE
    assert kept(db) == before


POSITION = "retail.basket.events/{}"


@pytest.mark.usefixtures("servers")
def test_a_snapshot_is_the_model_as_it_was_and_is_read_on_the_same_paths(
    settings: Settings, db: Database, run: Run
) -> None:
    with TestClient(Resources(settings, DOMAINS).application()) as client:
        asked = "/v1/retail/store_daily?select=store_id,revenue&order=store_id.desc"
        then = client.get(asked)
        time.sleep(0.01)  # the broker's clock counts whole milliseconds
        at = datetime.now(UTC).isoformat()
        time.sleep(0.01)
        LogWriter(settings, DOMAINS, epoch=2).write(basket("later", 7) + basket("new", 11))
        fold_live(settings)
        assert client.get(asked).content != then.content
        before = kept(db)
        for name, moment in {
            "by-time": ("--at", at),
            "by-position": ("--position", then.headers["Refold-Position"]),
        }.items():
            code, done, words = run("as-of", "store_daily", *moment, "--name", name)
            assert (code, done["name"], done["models"][0]["rows"]) == (exits.DONE, name, 4), words
            assert done["models"][0]["bytes"] > 0, "what it takes is known by then"
            found = client.get(f"{asked}&snapshot={name}")
            assert (found.content, found.headers["Refold-Position"]) == (then.content, then.headers["Refold-Position"])
            assert found.headers["Refold-Snapshot"] == name
            said = "Refold-Lag" in found.headers, "Refold-Age" in found.headers
            assert said == (False, moment[0] == "--at"), "nobody counts what came behind it"
            late = client.get(f"{asked}&snapshot={name}", headers={"Refold-Max-Age": "0"})
            assert (late.status_code, late.json()["code"]) == (412, "too-old")
            assert "which stays as it is" in late.json()["detail"]
            assert "immutable" in found.headers["Cache-Control"]
            again = client.get(f"{asked}&snapshot={name}", headers={"If-None-Match": found.headers["ETag"]})
            assert (again.status_code, again.headers["Cache-Control"]) == (304, found.headers["Cache-Control"])
        assert kept(db) == before
        assert "Cache-Control" not in client.get(asked).headers

        day = {"revenue": "1.10"}
        assert (
            client.get("/v1/retail/store_daily/7,2026-01-02?snapshot=by-time").json() | day
            == client.get("/v1/retail/store_daily/7,2026-01-02?snapshot=by-time").json()
        )
        assert client.get("/v1/retail/store_daily/11,2026-01-02?snapshot=by-time").status_code == 404
        csv = client.get("/v1/retail/store_daily?snapshot=by-time&format=csv&select=store_id&order=store_id")
        assert csv.text.split() == ["store_id", "7", "8", "9", "10"]
        page = client.get("/v1/retail/store_daily?snapshot=by-time&limit=3&select=store_id")
        following = client.get(page.headers["Link"].partition(">")[0].strip("<"))
        assert [row["store_id"] for row in page.json() + following.json()] == [7, 8, 9, 10]
        unknown = client.get("/v1/retail/store_daily?snapshot=nothing")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "snapshot-unknown")
        assert "by-position, by-time" in unknown.json()["detail"]
        later = client.get(f"{asked}&snapshot=by-time", headers={"Refold-Min-Position": found_position(db, settings)})
        assert (later.status_code, later.json()["code"]) == (412, "position-not-reached")
        (listed,) = [m for m in client.get("/v1/retail").json()["read_models"] if m["name"] == "store_daily"]
        assert [(one["name"], one["rows"]) for one in listed["snapshots"]] == [("by-position", 4), ("by-time", 4)]


@pytest.mark.usefixtures("servers")
def test_a_snapshot_never_changes_and_goes_by_name_or_age(db: Database, run: Run) -> None:
    at = datetime.now(UTC).isoformat()
    assert run("as-of", "store_daily", "--at", at, "--name", "first")[0] == exits.DONE
    assert run("as-of", "store_daily", "--at", "2000-01-01", "--name", "empty")[0] == exits.DONE
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        db.execute('UPDATE "retail@first".store_daily SET revenue = 0')
    code, _, words = run("as-of", "store_daily", "--at", at, "--name", "first")
    assert (code, "snapshot-exists" in words) == (exits.PRECONDITION, True)
    code, _, words = run("as-of", "baskets", "--position", f"{POSITION.format(0)}:1", "--name", "first")
    assert (code, "of another moment" in words) == (exits.PRECONDITION, True)
    assert run("as-of", "baskets", "--at", at, "--name", "first")[0] == exits.DONE
    assert names_of(run) == ["empty", "first", "first"]
    code, plan, _ = run("snapshots", "drop", "first")
    assert (code, plan["executed"], len(plan["snapshots"])) == (exits.DONE, False, 2)
    assert run("snapshots", "drop", "--older-than", "1d", "--execute")[1]["snapshots"] == []
    assert names_of(run) == ["empty", "first", "first"]
    assert run("snapshots", "drop", "first", "--execute")[0] == exits.DONE
    assert names_of(run) == ["empty"]
    db.execute('CREATE VIEW public.mine AS SELECT * FROM "retail@empty".store_daily')
    code, _, words = run("snapshots", "drop", "empty", "--execute")
    assert (code, "build-in-use" in words) == (exits.PRECONDITION, True)
    db.execute("DROP VIEW public.mine")
    assert run("snapshots", "drop", "--older-than", "0m", "--execute")[0] == exits.DONE
    assert db.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%@%'").fetchone() == (0,)


def names_of(run: Run) -> list[str]:
    return [one["name"] for one in run("snapshots", "list")[1]]


def found_position(db: Database, settings: Settings) -> str:
    """Where the live table stands."""
    ((text,),) = db.execute("SELECT position FROM refold.freshness WHERE model = 'store_daily'").fetchall()
    return str(text).removeprefix(settings.topic_prefix)


@pytest.mark.usefixtures("db")
def test_a_moment_that_is_still_open_or_cannot_be_read_is_refused(
    settings: Settings, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "_CATCHES_UP_S", 0.1)
    for moment, why, exit_code in [
        (("--at", "2999-01-01"), "moment-open", exits.PRECONDITION),
        (("--position", f"{POSITION.format(0)}:999999"), "moment-open", exits.PRECONDITION),
        (("--position", "retail.household.events/0:1"), "snapshot-invalid", exits.USAGE),
        (("--position", "nonsense"), "snapshot-invalid", exits.USAGE),
        (("--at", "yesterday"), "snapshot-invalid", exits.USAGE),
        (("--at", "2026-01-01", "--name", "Not a name"), "snapshot-invalid", exits.USAGE),
        (("--at", "2026-01-01", "--name", "n" * 60), "snapshot-invalid", exits.USAGE),
        (("--at", "2026-01-01", "--name", ""), "snapshot-invalid", exits.USAGE),
    ]:
        code, _, words = run("as-of", "store_daily", *moment)
        assert (code, f"refold: {why}: " in words) == (exit_code, True), (moment, words)
    LogWriter(settings, DOMAINS, epoch=2).write(basket("unfolded", 7))
    code, _, words = run("as-of", "store_daily", "--at", datetime.now(UTC).isoformat())
    assert (code, "moment-open" in words) == (exits.PRECONDITION, True), words
    assert run("as-of", "store_daily")[0] == exits.USAGE
    code, done, _ = run("as-of", "store_daily", "--at", "2000-01-01")
    assert (code, done["name"], done["models"][0]["rows"]) == (exits.DONE, "20000101t000000z", 0)
    assert run("snapshots", "drop", "none", "--execute")[0] == exits.USAGE


@pytest.mark.usefixtures("db")
def test_killed_at_any_step_an_as_of_keeps_all_models_or_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for at, tables in [("replay.before-keep", 0), ("replay.within-keep", 0), ("replay.after-keep", TABLES + VIEWS)]:

        def failpoint(name: str, at: str = at) -> None:
            if name == at:
                raise Killed

        with monkeypatch.context() as dying:
            dying.setattr(as_of, "failpoint", failpoint)
            dying.setattr(promote, "drop_apart", lambda *_: None)  # as kill -9: nobody tidies up
            with pytest.raises(Killed):
                run("as-of", "--all", "--at", "2000-01-01", "--name", "n")
        assert len(run("snapshots", "list")[1]) == tables
    assert run("snapshots", "drop", "n", "--execute")[0] == exits.DONE
    assert run("as-of", "--all", "--at", "2000-01-01", "--name", "n")[0] == exits.DONE
    assert run("prune", "--execute")[0] == exits.DONE
    assert {one["state"] for one in run("builds")[1]} == {"live"}


@pytest.mark.usefixtures("servers")
def test_killed_at_any_step_a_rollback_and_a_prune_are_whole_or_not_done(
    db: Database, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(db, "UPDATE {} SET revenue = 0 WHERE store_id = 7", "store_daily")
    assert run("store_daily", "--accept")[0] == exits.DONE
    (old, _), (new, _) = states(run)
    right = revenue(db)

    def killed(at: str, *command: str) -> None:
        def failpoint(name: str) -> None:
            if name == at:
                raise Killed

        with monkeypatch.context() as dying:
            for module in (kept_builds, promote):
                dying.setattr(module, "failpoint", failpoint)
            with pytest.raises(Killed):
                run(*command, "--execute")

    for at in ("replay.before-switch", "replay.within-switch"):
        killed(at, "rollback", "store_daily")
        assert (revenue(db), states(run)) == (right, [(old, "retired"), (new, "live")])
    killed("replay.after-switch", "rollback", "store_daily")
    assert (revenue(db)[0], states(run)) == ((7, Decimal(0)), [(old, "live"), (new, "retired")])
    assert run("rollback", "store_daily", "--execute")[0] == exits.DONE
    killed("replay.within-prune", "prune")
    assert states(run) == [(old, "retired"), (new, "live")]
    killed("replay.after-prune", "prune")
    assert (revenue(db), states(run)) == (right, [(new, "live")])


@pytest.mark.usefixtures("servers")
def test_a_rebuild_that_would_leave_no_row_is_refused_unless_accepted(db: Database, run: Run) -> None:
    by_hand(
        db,
        "INSERT INTO {} (household_id, campaigns, coupons, baskets, points) VALUES ('h', 1, 0, 0, 0)",
        "households",
    )
    code, _, words = run("households")
    assert (code, "rows-lost: retail.households" in words) == (exits.DIFFERENT, True)
    assert db.execute("SELECT count(*) FROM retail.households").fetchone() == (1,)
    assert run("households", "--max-changed", "100%")[0] == exits.DIFFERENT
    assert run("households", "--accept")[0] == exits.DONE
    assert db.execute("SELECT count(*) FROM retail.households").fetchone() == (0,)


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize(
    "harm",
    [
        "DROP TABLE {} CASCADE",
        "ALTER TABLE {} DROP COLUMN lines CASCADE",
        "ALTER TABLE {0} DROP CONSTRAINT store_daily_pkey; INSERT INTO {0} SELECT * FROM {0}",
    ],
)
def test_a_table_dropped_or_altered_by_hand_is_said_and_made_again(db: Database, run: Run, harm: str) -> None:
    right = revenue(db)
    by_hand(db, harm, "store_daily")
    code, _, words = run("store_daily")
    assert (code, "not-compared: retail.store_daily: the served table was altered" in words) == (
        exits.DIFFERENT,
        True,
    )
    assert run("store_daily", "--accept")[0] == exits.DONE
    assert revenue(db) == right
    assert db.execute("SELECT count(*) FROM retail.store_totals").fetchone() == (4,), "the view over it is back"


@pytest.mark.usefixtures("servers")
def test_a_table_of_the_platform_that_somebody_dropped_is_one_sentence(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    db.execute("DROP TABLE refold.parked")
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert cli.run(["status"]) == exits.DIFFERENT
    assert "STANDS STILL (database-refused): there is no refold.parked: somebody dropped it" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize(
    ("gates", "said"),
    [
        (["--expect-changes", "store_daily.nothing"], "store_daily has the columns"),
        (["--expect-changes", "nothing"], "no read model or column of one has that name"),
        (["--max-changed", "101%"], "from 0% to 100%"),
        (["--max-changed", "1"], "from 0% to 100%"),
    ],
)
def test_a_gate_that_names_nothing_is_refused_before_anything_is_read(
    settings: Settings, run: Run, gates: list[str], said: str
) -> None:
    prepare(settings)
    code, _, words = run("store_daily", *gates)
    assert (code, "gate-invalid" in words, said in " ".join(words.split())) == (exits.USAGE, True, True)
