"""`refold replay rebuild --execute` against a table that was changed by hand: its exit code, its words and the rows."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.projections.tables import builds
from refold.retail.schemas.basket import BASKET, BasketOpened, ItemScanned
from refold.streams.postgres.connection import Database, connect
from refold.streams.settings import Settings
from tests.projections.test_replay import fold_live
from tests.streams.broker import DOMAINS, prepare

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SCANNED = ItemScanned(store_id=7, product_id=5, quantity=1, amount=Decimal("1.10"), discount=Decimal("0.00"))
Run = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    """Four stores with a line each."""
    prepare(settings)
    log: list[Decided] = []
    for store in (7, 8, 9, 10):
        opened, scanned = BasketOpened(store_id=store), ItemScanned(**{**_fields(SCANNED), "store_id": store})
        log += [Decided(BASKET.name, f"b{store}", NOW, opened), Decided(BASKET.name, f"b{store}", NOW, scanned)]
    LogWriter(settings, DOMAINS).write(log)
    fold_live(settings)
    with connect(settings.dsn(), application_name="test") as connection:
        yield connection


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command with these settings: its exit code, its JSON, its words."""
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)

    def command(*arguments: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = cli.run(["replay", "rebuild", *arguments, "--execute", "--json"])
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
