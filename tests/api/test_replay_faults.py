"""Replay commands die, lose their servers or fill a disk at every durable step: nothing is half shown, and they go on."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.projections.replay import (
    as_of,
    builder,
    building,
    fold_log,
    promote,
    rebuild_beside,
    repair,
    staging,
    verify_beside,
)
from refold.retail.schemas.basket import BASKET, BasketOpened, ItemScanned
from refold.retail.schemas.household import HOUSEHOLD, CampaignJoined, PointsAwarded
from refold.streams.postgres.connection import Database, connect
from refold.streams.settings import Settings
from tests.projections.test_replay import fold_live, polled
from tests.streams.broker import DOMAINS, prepare

FIRST = datetime(2026, 1, 2, tzinfo=UTC)
SCANNED = ItemScanned(store_id=7, product_id=5, quantity=1, amount=Decimal("1.10"), discount=Decimal("0.00"))
Run = Callable[..., tuple[int, Any, str]]
ROWS = {
    "store_daily": "SELECT * FROM {}.store_daily ORDER BY 1, 2",
    "baskets": "SELECT * FROM {}.baskets ORDER BY 1",
    "households": "SELECT * FROM {}.households ORDER BY 1",
}
NAMES = ("store_daily", "baskets", "households")


def basket(name: str, day: int, lines: int = 2) -> list[Decided]:
    """A basket of a day, with lines of 1.10."""
    at = FIRST + timedelta(days=day)
    events = [BasketOpened(store_id=7), *(SCANNED for _ in range(lines))]
    return [Decided(BASKET.name, name, at + timedelta(minutes=n), event) for n, event in enumerate(events)]


def household(name: str, day: int, points: int) -> list[Decided]:
    at = FIRST + timedelta(days=day)
    events = [CampaignJoined(campaign_id=day), PointsAwarded(basket_id=f"{name}-{day}", points=points)]
    return [Decided(HOUSEHOLD.name, name, at + timedelta(minutes=n), event) for n, event in enumerate(events)]


EVENTS = [event for day in range(6) for n in range(4) for event in basket(f"b{day}-{n}", day)] + [
    event for day in (0, 4) for name in ("1", "2") for event in household(name, day, 10 + day)
]
LATE = [*basket("late", 1, lines=3), *household("1", 2, 5), *household("3", 1, 7)]
"""Appended after all of EVENTS; it occurred before many of them."""


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    """A log with late events, folded."""
    prepare(settings)
    writer = LogWriter(settings, DOMAINS)
    writer.write(EVENTS)
    writer.write(LATE)
    fold_live(settings)
    with connect(settings.dsn(), application_name="test") as connection:
        yield connection


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`refold replay`: its exit code, its JSON, its words."""
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)

    def command(*arguments: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = cli.run(["replay", *arguments, "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else None, " ".join(said.err.split())

    return command


def rows(db: Database, schema: str = "retail", names: tuple[str, ...] = NAMES) -> list[object]:
    return [db.execute(ROWS[name].format(schema).encode()).fetchall() for name in names]


def states(run: Run) -> set[str]:
    return {one["state"] for one in run("builds")[1]}


def small(patch: pytest.MonkeyPatch, records: int = 7) -> None:
    """Small reads and batches, and a flush after each."""
    patch.setattr(fold_log, "BATCH_RECORDS", records)
    patch.setattr(building, "READ_RECORDS", max(1, records // 2))
    patch.setattr(builder, "FLUSH_S", 0.0)


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def killed(run: Run, at: str, *command: str, times: int = 1, records: int | None = None) -> None:
    """Run a command that dies when it has come to a failpoint so many times. `records`: of a batch."""
    reached = []

    def failpoint(name: str) -> None:
        if name == at:
            reached.append(name)
            if len(reached) == times:
                raise Killed

    with pytest.MonkeyPatch.context() as dying:
        if records is not None:
            small(dying, records)
        for module in (as_of, builder, promote, rebuild_beside, repair, verify_beside):
            dying.setattr(module, "failpoint", failpoint)
        dying.setattr(promote, "drop_apart", lambda *_: None)  # nobody tidies up
        with pytest.raises(Killed):
            run(*command)


AS_OF = ("as-of", *NAMES, "--occurred-before", (FIRST + timedelta(days=4)).isoformat(), "--name", "n")


@pytest.mark.usefixtures("servers")
def test_events_that_occurred_before_a_time_count_whenever_they_were_appended(
    db: Database, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows in every chunking: those of the events that occurred before."""
    before = FIRST + timedelta(days=4, minutes=1)  # within the fifth day: of each basket and household one event counts
    found = []
    for number, records in enumerate((1_000, 7, 1)):
        with monkeypatch.context() as patch:
            small(patch, records)
            name = f"n{number}"
            code, done, words = run("as-of", *NAMES, "--occurred-before", before.isoformat(), "--name", name)
        assert code == exits.DONE, words
        assert {one["occurred_before"] for one in done["models"]} == {before.isoformat()}
        found.append(rows(db, f'"retail@{name}"'))
    assert found[0] == found[1] == found[2]
    days = db.execute("SELECT to_char(day, 'DD'), lines, revenue FROM \"retail@n0\".store_daily ORDER BY 1").fetchall()
    usual = (8, Decimal("8.80"))
    assert days[:4] == [("02", *usual), ("03", 11, Decimal("12.10")), ("04", *usual), ("05", *usual)]
    assert [row for row in days[4:] if row[1]] == [], (
        "of the fifth day the baskets are open, and nothing is scanned yet"
    )
    assert db.execute('SELECT count(*) FROM "retail@n0".baskets').fetchone() == (4 * 5 + 1,)
    points = db.execute(
        'SELECT household_id, campaigns, baskets, points FROM "retail@n0".households ORDER BY 1'
    ).fetchall()
    assert points == [("1", 3, 2, 15), ("2", 2, 1, 10), ("3", 1, 1, 7)]
    listed = {one["name"]: one["occurred_before"] for one in run("snapshots", "list")[1]}
    assert listed == {f"n{number}": before.isoformat() for number in range(3)}


@pytest.mark.usefixtures("servers")
def test_a_time_of_occurrence_beside_a_place_in_the_log_leaves_out_what_was_not_known_yet(
    settings: Settings, db: Database, run: Run
) -> None:
    prefix = len(settings.topic_prefix)
    stands = db.execute(
        "SELECT topic, part, next_offset FROM refold.positions WHERE grp = 'models' ORDER BY 1, 2"
    ).fetchall()
    everything = ",".join(f"{topic[prefix:]}/{part}:{at}" for topic, part, at in stands if "basket" in topic)
    code, done, words = run(
        "as-of", "baskets", "--position", everything, "--occurred-before", "2026-01-04", "--name", "known"
    )
    assert (code, done["models"][0]["rows"]) == (exits.DONE, 4 * 2 + 1), words
    code, done, words = run("as-of", "baskets", "--at", "2000-01-01", "--occurred-before", "2026-01-04")
    assert (code, done["models"][0]["rows"], done["name"]) == (
        exits.DONE,
        0,
        "20000101t000000z-of-20260104t000000z",
    ), words
    LogWriter(settings, DOMAINS, epoch=2).write(basket("later-still", 0))
    fold_live(settings)
    code, done, words = run("as-of", "store_daily", "--occurred-before", "2026-01-04", "--name", "known")
    assert code == exits.DONE, words
    assert db.execute('SELECT sum(lines) FROM "retail@known".store_daily').fetchone() == (19,), "one name is one moment"
    code, _, words = run("as-of", "households", "--occurred-before", "2026-01-05", "--name", "known")
    assert (code, "of another moment" in words) == (exits.PRECONDITION, True)
    for wrong in (["--occurred-before", "yesterday"], ["--occurred-before", "2026-02-30"]):
        code, _, words = run("as-of", "baskets", *wrong)
        assert (code, "snapshot-invalid: --occurred-before" in words) == (exits.USAGE, True)
    assert run("as-of", "baskets", "--at", "2026-01-01", "--position", everything)[0] == exits.USAGE
    assert run("as-of", "baskets", "--name", "x")[0] == exits.USAGE


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("command", [("verify", *NAMES), AS_OF], ids=["verify", "as-of"])
def test_killed_in_the_middle_of_the_log_a_command_goes_on_from_its_last_flush(
    db: Database, run: Run, command: tuple[str, ...]
) -> None:
    code, whole, words = run(*command)
    assert code == exits.DONE, words
    right = rows(db, '"retail@n"') if command is AS_OF else rows(db)
    if command is AS_OF:
        assert run("snapshots", "drop", "n", "--execute")[0] == exits.DONE
    for flushes in (1, 3):
        killed(run, "replay.after-flush", *command, times=flushes, records=7)
        code, done, words = run(*command)
        assert code == exits.DONE, words
        assert 0 < done["records"] < whole["records"], "it went on"
        if command is AS_OF:
            assert rows(db, '"retail@n"') == right
            assert run("snapshots", "drop", "n", "--execute")[0] == exits.DONE
        else:
            assert done["equal"]
            assert [one["rows"] for one in done["models"]] == [len(one) for one in map(list, sorted_rows(db))]
        assert states(run) == {"live"}


def sorted_rows(db: Database) -> list[list[Any]]:
    """The rows of the models of NAMES, by the name of the model."""
    return [list(db.execute(ROWS[name].format("retail").encode()).fetchall()) for name in sorted(NAMES)]


@pytest.mark.usefixtures("servers")
def test_an_as_of_of_another_moment_does_not_go_on_with_a_killed_ones_build(db: Database, run: Run) -> None:
    code, whole, _ = run(*AS_OF[:-1], "whole")
    assert code == exits.DONE
    killed(run, "replay.after-flush", *AS_OF, times=3, records=7)
    code, done, words = run(*AS_OF[:-1], "other")
    assert (code, done["records"]) == (exits.DONE, whole["records"]), words
    assert rows(db, '"retail@other"') == rows(db, '"retail@whole"')
    assert states(run) == {"live"}


@pytest.mark.usefixtures("servers")
def test_killed_before_or_after_a_switch_a_rebuild_is_whole_or_not_done_and_ends_when_it_is_run_again(
    settings: Settings, db: Database, run: Run
) -> None:
    """`after`: whether readers see the new tables already. `tests/e2e/test_replay_deaths.py` kills at every step."""
    right = rows(db)
    for at, after in [
        ("replay.after-join", False),
        ("replay.within-switch", False),
        ("replay.after-switch", True),
    ]:
        served = live(db)
        killed(run, at, "rebuild", *NAMES, "--execute")
        assert rows(db) == right
        assert {build: build in served for build in live(db)} == dict.fromkeys(live(db), not after), at
        fold_live(settings)
        code, done, words = run("rebuild", *NAMES, "--execute")
        assert (code, [one["differing"] for one in done["models"]]) == (exits.DONE, [0, 0, 0]), words
        assert rows(db) == right
        assert states(run) == {"live", "retired"}
    killed(run, "replay.before-repair", "repair", "store_daily", "--where", "store_id=eq.7")
    code, done, words = run("verify", *NAMES)
    assert (code, done["records"]) == (exits.DONE, len(EVENTS + LATE) + claims(db)), (
        f"not with some rows alone: {words}"
    )
    assert states(run) == {"live", "retired"}


def claims(db: Database) -> int:
    """Records of the log that are no events."""
    ((number,),) = db.execute("SELECT count(*) FROM refold.claims").fetchall()
    return int(number)


def live(db: Database) -> set[int]:
    """The builds that readers see."""
    found = db.execute("SELECT build FROM refold.builds WHERE status = 'serving' AND model = ANY(%s)", (list(NAMES),))
    return {row[0] for row in found.fetchall()}


@pytest.mark.usefixtures("servers")
def test_several_models_change_in_one_moment_for_every_reader(settings: Settings, db: Database, run: Run) -> None:
    """A reader asks all the time for two sums that are equal in the old tables, and in the new ones."""
    question = "SELECT (SELECT sum(revenue) FROM retail.store_daily), (SELECT sum(total) FROM retail.baskets)"
    right = db.execute(question.encode()).fetchone()
    assert right is not None
    assert right[0] == right[1]
    for model, column in (("store_daily", "revenue"), ("baskets", "total")):
        (number,) = db.execute(
            "SELECT build FROM refold.builds WHERE model = %s AND status = 'serving'", (model,)
        ).fetchone() or (0,)
        first = f"ctid = (SELECT min(ctid) FROM refold_b{number}.{model})"
        db.execute(f"UPDATE refold_b{number}.{model} SET {column} = {column} + 100 WHERE {first}".encode())
    wrong = (right[0] + 100, right[1] + 100)
    names = ("store_daily", "baskets")
    with polled(settings, question) as seen:
        assert run("rebuild", *names, "--execute")[0] == exits.DIFFERENT
        assert db.execute(question.encode()).fetchone() == wrong, "one that differs keeps the other from being promoted"
        assert run("rebuild", *names, "--accept", "--execute")[0] == exits.DONE
        for _ in range(5):
            assert run("rollback", *names, "--execute")[0] == exits.DONE
    assert seen == {(right,), (wrong,)}


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize(
    "command", [("rebuild", *NAMES, "--execute"), ("verify", *NAMES), AS_OF], ids=["rebuild", "verify", "as-of"]
)
def test_a_full_disk_is_said_and_a_lost_connection_too_and_nothing_is_half_shown(
    settings: Settings, db: Database, run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    right, flush = rows(db), staging.Staging.flush
    full = (
        "DO $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
    )
    for harm, said in [
        (full, "Postgres has no room on its disk"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "Postgres does not answer"),
    ]:
        with monkeypatch.context() as failing:

            def flushed(one: staging.Staging, through: Database, harm: str = harm) -> None:
                flush(one, through)
                through.execute(harm.encode())

            failing.setattr(staging.Staging, "flush", flushed)
            code, _, words = run(*command)
        assert (code, f"database-unavailable: {said}" in words) == (exits.UNREACHABLE, True), words
        assert rows(db) == right
        assert run("snapshots", "list")[1] == []
        fold_live(settings)
        if "--execute" not in command and harm == full:
            assert states(run) == {"live"}, "its table takes no room"
    code, _, words = run(*command)
    assert code == exits.DONE, words
    assert rows(db) == right
    assert states(run) <= {"live", "retired"}
