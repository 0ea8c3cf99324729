"""`refold replay prepare`: what waits for a deploy, what ends it, and what the first worker of the new code shows.

The tables that serve count as another declaration's: their fingerprints are changed by hand.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from litestar.testing import TestClient

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.api.cli import prepare as prepare_command
from refold.api.http.resources import Resources
from refold.projections.live import prepared
from refold.projections.live.process import models_fold
from refold.projections.replay import prepare as preparing
from refold.projections.tables.serving import model_states
from refold.retail.schemas.basket import BASKET, BasketOpened, ItemScanned
from refold.retail.schemas.household import HOUSEHOLD, PointsAwarded
from refold.streams.postgres.connection import Database, connect
from refold.streams.settings import Settings
from tests.projections.test_replay import fold_live
from tests.streams.broker import DOMAINS, prepare

pytestmark = pytest.mark.usefixtures("servers")
NOW = datetime(2026, 1, 2, tzinfo=UTC)
Run = Callable[..., tuple[int, Any, str]]
NAMES = "store_daily", "product_sales"
ONCE = "prepare", *NAMES, "--once", "--execute"


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def basket(name: str, store: int) -> list[Decided]:
    """A basket with one line."""
    line = ItemScanned(store_id=store, product_id=5, quantity=1, amount=Decimal("1.10"), discount=Decimal("0.00"))
    return [Decided(BASKET.name, name, NOW, event) for event in (BasketOpened(store_id=store), line)]


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    """Two stores with a line each, in tables that old code serves."""
    prepare(settings)
    LogWriter(settings, DOMAINS).write([event for store in (7, 8) for event in basket(f"b{store}", store)])
    fold_live(settings)
    with connect(settings.dsn(), application_name="test") as connection:
        connection.execute("UPDATE refold.builds SET fingerprint = 'old' WHERE model = ANY(%s)", (list(NAMES),))
        yield connection


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`refold replay`: its exit code, its JSON, its words."""
    monkeypatch.setattr(prepare_command, "interrupt_on_sigterm", lambda: None)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)

    def command(*arguments: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = cli.run(["replay", *arguments, "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else None, said.err

    return command


def states(run: Run) -> list[tuple[str, str]]:
    return [(one["model"], one["state"]) for one in run("builds", *NAMES)[1]]


def worker_starts(settings: Settings) -> None:
    """As the models process begins, up to its first chunk."""
    models_fold(settings, deploys=True).close()


def lines(db: Database) -> list[tuple[Any, ...]]:
    return db.execute("SELECT store_id, lines::int FROM retail.store_daily ORDER BY 1").fetchall()


LIVE = [(name, "live") for name in sorted(NAMES)]
WAITS = [(name, state) for name in sorted(NAMES) for state in ("live", "prepared")]
SHOWN = [(name, state) for name in sorted(NAMES) for state in ("retired", "live")]


def test_prepared_tables_wait_and_the_first_worker_brings_them_up_to_date_and_shows_them(
    settings: Settings, db: Database, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    code, plan, _ = run("prepare", "--all")
    assert code == exits.DONE
    assert {(one["model"], one["change"]) for one in plan["models"]} == {
        *((name, "same") for name in ("households", "baskets", "basket_lines", "campaigns", "coupons", "rejections")),
        ("store_daily", "changed"), ("product_sales", "changed"),
    }  # fmt: skip
    assert states(run) == LIVE, "a plan changes nothing"

    code, done, _ = run(*ONCE)
    assert (code, states(run)) == (exits.DONE, WAITS)
    assert cli.run(["status", "--json"]) == exits.DIFFERENT, "no worker runs"
    assert {(one["name"], one["what"], one["command"]) for one in json.loads(capsys.readouterr().out)["due"]} == {
        (name, "prepared", f"refold replay prepare retail.{name} --execute") for name in NAMES
    }
    assert {(one["state"], one["behind"]) for one in done["models"]} == {("prepared", 0)}
    unknown = (
        "SELECT count(*)::int FROM refold.positions WHERE grp LIKE 'build:%' AND next_offset > 0 AND last_at IS NULL"
    )
    assert db.execute(unknown.encode()).fetchone() == (0,), "an answer could not say how old its rows are"
    again = run(*ONCE)[1]
    assert [one["build"] for one in again["models"]] == [one["build"] for one in done["models"]], "it goes on"
    assert again["records"] == 0

    LogWriter(settings, DOMAINS, epoch=2).write(basket("later", 7) + basket("new", 11))
    db.execute("UPDATE refold.builds SET fingerprint = 'not-' || fingerprint WHERE detached_code = 'prepared'")
    fold_live(settings)
    db.execute("UPDATE refold.builds SET fingerprint = substr(fingerprint, 5) WHERE detached_code = 'prepared'")
    assert {one["behind"] > 0 for one in run("builds", *NAMES)[1] if one["state"] == "prepared"} == {True}
    worker_starts(settings)
    assert states(run) == SHOWN
    assert lines(db) == [(7, 2), (8, 1), (11, 1)]
    with TestClient(Resources(settings, DOMAINS).application()) as client:
        answer = client.get("/v1/retail/store_daily?select=store_id,lines::int&order=store_id")
        assert answer.json() == [{"store_id": store, "lines": number} for store, number in lines(db)]
        assert "refold-detached" not in answer.headers
        assert {one["fault"] for one in client.get("/v1/retail").json()["read_models"]} == {None}
    assert run(*ONCE)[1]["models"] == [], "nothing is left to prepare"


def test_a_table_that_nobody_follows_is_said_and_one_that_is_followed_is_as_good_as_any(
    settings: Settings, db: Database, run: Run
) -> None:
    assert run(*ONCE)[0] == exits.DONE
    worker_starts(settings)

    def told() -> dict[str, str | None]:
        return {state.name: state.detached_code for state in model_states(db, settings.domains) if state.name in NAMES}

    assert told() == dict.fromkeys(NAMES, "prepared")
    with closing(connect(settings.dsn(), application_name="follower")) as other:
        other.execute(
            "SELECT pg_advisory_lock(hashtextextended('refold/follow/' || build, 0)) FROM refold.builds WHERE detached_code = 'prepared'"
        )
        assert told() == dict.fromkeys(NAMES)


def test_killed_at_any_step_it_goes_on_and_readers_see_all_tables_or_none(
    settings: Settings, db: Database, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(module: Any, at: str, do: Callable[[], object]) -> None:
        def failpoint(name: str) -> None:
            if name == at:
                raise Killed

        with monkeypatch.context() as dying:
            dying.setattr(module, "failpoint", failpoint)
            with pytest.raises(Killed):
                do()

    unfinished = [(name, state) for name in sorted(NAMES) for state in ("live", "preparing")]
    killed(preparing, "prepare.before-mark", lambda: run(*ONCE))
    assert states(run) == unfinished
    worker_starts(settings)
    assert states(run) == unfinished, "what is not prepared is not shown"
    numbers = [one["build"] for one in run("builds", *NAMES)[1]]
    killed(preparing, "prepare.after-mark", lambda: run(*ONCE))
    assert states(run) == WAITS
    assert [one["build"] for one in run("builds", *NAMES)[1]] == numbers
    killed(prepared, "prepared.within-takeover", lambda: worker_starts(settings))
    assert states(run) == WAITS
    killed(prepared, "prepared.after-takeover", lambda: worker_starts(settings))
    assert states(run) == SHOWN
    assert lines(db) == [(7, 1), (8, 1)]


def test_one_build_a_model_waits_and_another_command_is_refused_while_one_runs(db: Database, run: Run) -> None:
    assert run(*ONCE)[0] == exits.DONE
    db.execute("UPDATE refold.builds SET fingerprint = 'third' WHERE detached_code = 'prepared'")
    assert run("rebuild", "store_daily", "--execute")[0] == exits.DONE
    assert ("store_daily", "prepared") in states(run), "a rebuild keeps what another declaration prepared"
    assert run("prepare", "product_sales", "--once", "--execute")[0] == exits.DONE
    assert [state for name, state in states(run) if name == "product_sales"] == ["live", "prepared"]

    db.execute("SELECT pg_advisory_lock(hashtextextended('refold/follow/' || max(build), 0)) FROM refold.builds")
    code, _, words = run("prepare", "product_sales", "--execute")
    assert (code, "rebuild-running: another process follows build" in words) == (exits.FAILED, True)
    db.execute("SELECT pg_advisory_unlock_all()")
    db.execute("SELECT pg_advisory_lock(hashtextextended('refold/rebuild/retail.product_sales', 0))")
    assert run("prepare", "product_sales", "--execute")[0] == exits.FAILED
    db.execute("SELECT pg_advisory_unlock_all()")

    assert run("prune", "--execute")[0] == exits.DONE
    assert ("product_sales", "prepared") in states(run)
    assert run("prune", "--unpromoted", "--execute")[0] == exits.DONE
    assert states(run) == LIVE


def test_what_a_deploy_could_not_show_is_said_before_it(db: Database, run: Run) -> None:
    db.execute("DROP VIEW retail.store_daily CASCADE")
    db.execute("CREATE VIEW retail.store_daily AS SELECT 1 AS other")
    db.execute("CREATE VIEW public.mine AS SELECT other FROM retail.store_daily")
    code, _, words = run("prepare", "store_daily", "--once", "--execute")
    assert (code, "views of your own depend on it: public.mine" in words) == (exits.FAILED, True)
    assert ("store_daily", "prepared") in states(run)
    db.execute("DROP VIEW public.mine")
    assert run("prepare", "store_daily", "--once", "--execute")[0] == exits.DONE

    (build,) = db.execute("SELECT build FROM refold.builds WHERE model = 'households'").fetchall()[0]
    db.execute(f"UPDATE refold.builds SET fingerprint = 'old' WHERE build = {build:d}".encode())
    db.execute(
        f"INSERT INTO refold_b{build:d}.households (household_id, campaigns, coupons, baskets, points) VALUES ('h', 1, 0, 0, 0)".encode()
    )
    code, _, words = run("prepare", "households", "--once", "--execute")
    assert (code, "rows-lost: retail.households" in words) == (exits.DIFFERENT, True)
    assert run("prepare", "households", "--once", "--execute", "--accept")[0] == exits.DONE


def test_a_topic_that_no_live_table_reads_is_folded_too_and_the_group_begins_there(
    settings: Settings, db: Database, run: Run
) -> None:
    named = [Decided(HOUSEHOLD.name, f"h{n}", NOW, PointsAwarded(points=n, basket_id="b")) for n in (1, 2)]
    LogWriter(settings, DOMAINS, epoch=2).write(named)
    fold_live(settings)
    rows = db.execute("SELECT household_id, points::int FROM retail.households ORDER BY 1").fetchall()
    assert rows == [("h1", 1), ("h2", 2)]
    db.execute("DELETE FROM refold.builds WHERE model = 'households'")
    db.execute("DROP VIEW retail.households CASCADE")
    of_it = "SELECT sum(next_offset)::int FROM refold.positions WHERE grp = '{}' AND topic LIKE '%household.events'"
    ends = db.execute(of_it.format("core").encode()).fetchone()
    db.execute("DELETE FROM refold.positions WHERE grp = 'models' AND topic LIKE '%household.events'")

    assert run("prepare", "households", "--once", "--execute")[0] == exits.DONE
    more = [Decided(HOUSEHOLD.name, "h3", NOW, PointsAwarded(points=5, basket_id="c"))]
    LogWriter(settings, DOMAINS, epoch=3).write(more)
    worker_starts(settings)
    assert db.execute(of_it.format("models").encode()).fetchone() == ends
    assert db.execute("SELECT household_id, points::int FROM retail.households ORDER BY 1").fetchall() == rows
    fold_live(settings)
    rows = db.execute("SELECT household_id, points::int FROM retail.households ORDER BY 1").fetchall()
    assert rows == [("h1", 1), ("h2", 2), ("h3", 5)]
