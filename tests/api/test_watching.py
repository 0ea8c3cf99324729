"""Tests the watch: rates between two looks, what a line and the screen say, and a run on real servers."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import uuid4

import pytest
from rich.console import Console

from refold.api.cli import exits
from refold.api.cli.app import run
from refold.api.cli.watch import line, picture
from refold.api.health import Look
from refold.api.watching import Building, Moment, Pace, Process, paces, processes
from refold.streams.operation.lag import Lag
from refold.streams.operation.presence import Live, Trouble
from refold.streams.operation.verdict import Finding
from refold.streams.settings import Settings
from tests.streams.broker import append, claimed, prepare
from tests.streams.logs import claim

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def look(at: float, *reached: int, end: int = 100) -> Look:
    lags = [Lag("core", "t", part, got, end, end - got, 7.0 if got < end else 0.0) for part, got in enumerate(reached)]
    return Look(at, lags, (), (), frozenset())


def test_a_rate_is_what_all_partitions_moved_between_two_looks() -> None:
    assert paces(look(12.0, 60, 100), look(10.0, 30, 90)) == [Pace("core", 40, 7.0, 20.0, 2.0)]


def test_without_an_earlier_look_there_is_no_rate() -> None:
    assert paces(look(12.0, 60, 100), None) == [Pace("core", 40, 7.0)]


def test_a_group_that_went_back_after_a_restore_has_no_negative_rate() -> None:
    assert paces(look(12.0, 10), look(10.0, 60)) == [Pace("core", 90, 7.0, 0.0, None)]


def test_a_process_has_the_trouble_that_it_reports() -> None:
    live = [Live(uuid4(), "core", "h", 7, NOW - timedelta(seconds=90), 0.0, "1", (), {})]
    assert processes(live, [Trouble("core", "h", 7, "Kafka is away", 3.0)], NOW) == [
        Process("core", 7, "h", 90, "Kafka is away")
    ]


MOMENT = Moment(
    NOW,
    [Finding("no-models", "no models process runs", "start one", "models")],
    [Pace("core", 1200, 3.25, 400.0, 3.0), Pace("models", 0, 0.0)],
    [Process("core", 7, "h", 90, "[red]Kafka\x1b[2J is away")],
    [Building(4, "retail.baskets", "building", 250, 1000)],
    {"retail.products": "sum-overflow"},
    {"retail.baskets": 2},
)


def test_a_line_says_everything_of_a_moment() -> None:
    assert line(MOMENT) == (
        "03:04:05; core 1,200 behind, 400/s; models 0 behind; build 4 of retail.baskets 25 %; "
        "retail.products detached (sum-overflow); retail.baskets 2 streams parked; STANDS STILL: no-models"
    )


def test_the_screen_shows_it_as_tables_and_obeys_no_text_of_others() -> None:
    console = Console(width=120, record=True, file=StringIO())
    console.print(picture(MOMENT))
    shown = console.export_text()
    for part in ("STANDS STILL (no-models)", "1,200", "400", "3 s", "25 %", "250 of 1,000", "detached: sum-overflow"):
        assert part in shown, part
    assert "[red]Kafka\\x1b[2J is away" in shown


@pytest.mark.usefixtures("servers")
def test_it_watches_real_servers_and_ends_with_3_while_something_stands_still(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    prepare(settings)
    append(settings, "retail.basket", 1, [claimed(claim("a", 1))])
    capsys.readouterr()
    assert run(["replay", "watch", "--looks", "2", "--every", "0.1", "--json"]) == exits.DIFFERENT
    first, second = (json.loads(each) for each in capsys.readouterr().out.splitlines())
    assert {each["code"] for each in second["findings"]} >= {"no-handler", "no-core", "no-models"}
    assert {each["group"]: each["behind"] for each in second["groups"]}["core"] == 1
    assert [each["per_s"] for each in first["groups"]] == [None] * len(first["groups"])
    assert {each["per_s"] for each in second["groups"]} == {0.0}
