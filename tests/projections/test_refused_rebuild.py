"""`refold replay rebuild` of a domain with sums that do not fit: one error names them, other models are promoted."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.streams.domain import load_domains
from refold.streams.log.topics import ensure_topics
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings

MODULES = {
    "schemas/__init__": '''
from decimal import Decimal
from typing import Annotated
from msgspec import Meta
from refold.schemas.contracts import Category, Event

class Mined(Event):
    """Coins were mined."""
    coins: Annotated[Decimal, Meta(extra={"precision": 38, "scale": 2}, description="How many.")]
    mine: Annotated[str, Meta(description="Where.")]

PURSE = Category("coins.purse", (), (Mined,))
CATEGORIES = (PURSE,)
''',
    "streams": """
import msgspec
from coins.schemas import PURSE
from refold.streams.decider import Decider, Rejected

class Purse(msgspec.Struct, frozen=True):
    events: int = 0

def decide(command, purse):
    return Rejected("no", "no")

def evolve(purse, event):
    return Purse(purse.events + 1)

DECIDERS = (Decider(PURSE, Purse(), decide, evolve),)
""",
    "projections": """
from coins.schemas import PURSE, Mined
from refold.projections.declaring.declaration import Rollup
from refold.projections.declaring.gathering import events, key

mined = events(PURSE, Mined)
by_mine = {"mine": key("mine", "Where.")}
SUMS = Rollup(name="sums", domain="coins", description="Sums.", key=by_mine, columns={"coins": mined.sum("coins", "Sum.")})
MOST = Rollup(name="most", domain="coins", description="Most.", key=by_mine, columns={"coins": mined.max("coins", "Most.")})
READ_MODELS = (SUMS, MOST)
""",
}
HUGE = Decimal("999999999999999999999999999999999999.99")
REFUSED = "refold: sum-overflow: coins.sums is not rebuilt: sums: the sum of a row has more than 38 digits, which coins cannot hold"


@pytest.fixture
def coins(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, source in MODULES.items():
        path = tmp_path / "coins" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    found = settings.model_copy(update={"domains": ["coins"]})
    for name, value in found.environment().items():
        monkeypatch.setenv(name, value)
    assert cli.run(["schemas", "freeze"]) == exits.DONE
    return found


def test_what_does_not_fit_is_refused_and_all_else_is_built(
    coins: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    domains = load_domains(coins.domains)
    mined, at = import_module("coins.schemas").Mined, datetime(2026, 1, 1, tzinfo=UTC)
    with connect(coins.dsn(), application_name="test") as db:
        when_kafka_answers(lambda: ensure_topics(coins, domains, db))
        LogWriter(coins, domains).write(
            [Decided("coins.purse", f"p{n}", at, mined(coins=HUGE, mine="deep")) for n in range(3)]
        )
        for models in ("--all", "sums", "--all"):  # an empty database, one model of it, and all beside the live ones
            assert cli.run(["replay", "rebuild", models, "--execute", "--json"]) == exits.FAILED
            out, err = capsys.readouterr()
            report = json.loads(out)
            assert [model["model"] for model in report["models"]] == (["most"] if models == "--all" else [])
            assert [(failed["model"], failed["code"]) for failed in report["failed"]] == [("sums", "sum-overflow")]
            assert err.splitlines()[-1] == REFUSED
            assert db.execute("SELECT coins FROM coins.most").fetchall() == [(HUGE,)]
            there = db.execute(
                "SELECT model, status FROM refold.builds WHERE status IN ('serving', 'building', 'shadow')"
            )
            assert there.fetchall() == [("most", "serving")]
        assert db.execute("SELECT to_regclass('coins.sums')").fetchall() == [(None,)]
