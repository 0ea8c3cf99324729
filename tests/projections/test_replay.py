"""Rebuilds of the sample domain from real Kafka equal the live tables, despite kills; an empty database is filled."""

import json
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag
from typing import Any

import pytest

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided, decided
from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.projections.errors import NothingFolded, RebuildDiffers, RebuildRunning, UnknownModel
from refold.projections.live.process import models_fold
from refold.projections.replay import builder as rebuild_module
from refold.projections.replay import building, staging
from refold.projections.replay import fold_log as fold_log_module
from refold.projections.replay.command import Replay
from refold.projections.replay.decoding import Prepared
from refold.projections.replay.part import Part
from refold.projections.tables import builds
from refold.projections.tables.declared import Declared, declared
from refold.retail.schemas.household import HOUSEHOLD, CampaignJoined, CouponRedeemed, PointsAwarded
from refold.schemas.contracts import Event
from refold.streams.core.folds import core_folds
from refold.streams.domain import load_domains
from refold.streams.errors import Lost
from refold.streams.failpoints import VARIABLE
from refold.streams.kafka.log_reader import LogReader
from refold.streams.log.topics import ensure_topics, events_topic
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.postgres.connection import Database, connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.settings import Settings
from refold.streams.worker.ports import ChunkFold
from tests.projections.test_models import bytes_of

TABLES = ("baskets", "store_daily", "product_sales", "households", "basket_lines", "campaigns", "coupons", "rejections")


def quiet(_done: int, _total: int) -> None:
    pass


def some_receipts() -> list[Decided]:
    """The first products and baskets of the year."""
    items = decided(1)
    products = [next(items) for _ in range(200)]
    baskets = [item for item in items if item.category == "retail.basket"][:3000]
    return [*products, *baskets, *households()]


def households() -> list[Decided]:
    """Three households, each in two campaigns, with a coupon and ten baskets."""
    at = datetime(2017, 1, 3, tzinfo=UTC)
    found: list[Decided] = []
    for name in ("1", "2", "3"):
        events: list[Event] = [CampaignJoined(campaign_id=number) for number in (13, 8)]
        events += [CouponRedeemed(campaign_id=8, coupon_upc=51)]
        events += [PointsAwarded(basket_id=f"{name}-{n}", points=n * int(name)) for n in range(1, 11)]
        found += [Decided(HOUSEHOLD.name, name, at + timedelta(hours=n), event) for n, event in enumerate(events)]
    return found


@pytest.fixture(scope="module")
def receipts() -> list[Decided]:
    return some_receipts()


@pytest.fixture
def db(settings: Settings, receipts: Sequence[Decided]) -> Iterator[Database]:
    domains = load_domains(settings.domains)
    with connect(settings.dsn(), application_name="test") as connection:
        bootstrap(connection)
        when_kafka_answers(lambda: ensure_topics(settings, domains, connection))
        LogWriter(settings, domains).write(receipts)
        yield connection


def fold_live(settings: Settings, seed: int = 0) -> None:
    """Core, then models, in chunks of any size, as far as the log goes."""
    chance = random.Random(seed)
    folds: list[ChunkFold] = [*core_folds(settings), models_fold(settings)]
    for fold in folds:
        places = [(topic, part) for topic in fold.topics for part in range(settings.partitions)]
        reader = LogReader(settings.kafka_servers(), fold.stored(places), records=1000, keys=True)
        left = sum(end - reader.next[place] for place, end in reader.ends().items())
        while left:
            for chunk in reader.poll(1.0):
                middle = chunk.start + chance.randint(0, len(chunk.values))
                for part in (chunk.upto(middle), chunk.since(middle)):
                    if part.values:
                        assert fold.apply([part]) == {part.place: part.end}
                        left -= len(part.values)
        reader.close()
        fold.close()


def tables(db: Database, found: Declared) -> dict[str, list[str]]:
    return {name: bytes_of(db, found.named(name)) for name in TABLES}


@pytest.fixture(scope="module")
def retail() -> Declared:
    return declared(["retail"])


def test_rebuilt_tables_are_equal_to_the_live_ones_and_take_their_place(
    settings: Settings, db: Database, retail: Declared
) -> None:
    fold_live(settings)
    before = tables(db, retail)
    assert all(rows for name, rows in before.items() if name != "rejections")  # nobody was refused
    with Replay(settings) as replay:
        assert replay.plan(()).records > 3000
        report = replay.execute((), quiet)
    assert {(model.model, model.differing) for model in report.models} == {(name, 0) for name in TABLES}
    assert report.fell_back == 0
    assert tables(db, retail) == before
    statuses: dict[str, int] = dict(db.execute("SELECT status, count(*) FROM refold.builds GROUP BY 1").fetchall())
    assert statuses == {"serving": len(TABLES), "retired": len(TABLES)}
    total = db.execute(
        "SELECT sum(revenue), (SELECT sum(total) FROM retail.baskets) FROM retail.store_totals"
    ).fetchone()
    assert total is not None
    assert total[0] == total[1] > 0


@pytest.mark.parametrize("emptied", [False, True])
def test_what_postgres_refuses_of_one_model_stops_no_other_rebuild(
    settings: Settings,
    db: Database,
    retail: Declared,
    monkeypatch: pytest.MonkeyPatch,
    emptied: bool,
) -> None:
    if not emptied:
        fold_live(settings)
    right = staging.Staging.flush

    def flush(one: staging.Staging, db: Database) -> None:
        if one.build.model == "store_daily":
            db.execute("SELECT repeat('x', 1 << 30)")  # 54000, an OperationalError
        right(one, db)

    monkeypatch.setattr(staging.Staging, "flush", flush)
    with Replay(settings) as replay:
        report = replay.execute((), quiet)
    assert {model.model for model in report.models} == set(TABLES) - {"store_daily"}
    assert [
        (failed.model, "54000" in failed.reason or "ProgramLimitExceeded" in failed.reason) for failed in report.failed
    ] == [("store_daily", True)]
    assert all(bytes_of(db, retail.named(model.model)) for model in report.models)
    monkeypatch.undo()
    with Replay(settings) as replay:
        assert [model.model for model in replay.execute(["store_daily"], quiet).models] == ["store_daily"]
    assert bytes_of(db, retail.named("store_daily"))


def test_households_hold_what_their_events_say_and_a_second_time_changes_nothing(
    settings: Settings, db: Database, retail: Declared
) -> None:
    def shown() -> list[tuple[Any, ...]]:
        return db.execute(
            "SELECT household_id, campaigns, last_campaign_id, coupons, baskets, points, largest_award,"
            " to_char(last_redeemed_at, 'DD HH24'), to_char(last_basket_at, 'DD HH24') FROM retail.households ORDER BY 1"
        ).fetchall()

    fold_live(settings, 5)
    wanted = [(name, 2, 8, 1, 10, 55 * int(name), 10 * int(name), "03 02", "03 12") for name in ("1", "2", "3")]
    assert shown() == wanted
    fold = models_fold(settings)
    places = [(events_topic(settings.topic_prefix, HOUSEHOLD.name), part) for part in range(settings.partitions)]
    reader = LogReader(settings.kafka_servers(), dict.fromkeys(places, 0), records=1000, keys=True)
    ends, again = reader.ends(), 0
    while any(reader.next[place] < end for place, end in ends.items()):
        for chunk in reader.poll(1.0):
            again += len(chunk.values)
            with pytest.raises(Lost):
                fold.apply([chunk])
    reader.close()
    assert again >= 39
    assert shown() == wanted
    layout = retail.named("households")
    db.execute(f"TRUNCATE refold_b{build_of(db, 'households')}.{layout.name}".encode())
    db.execute(
        "UPDATE refold.positions SET next_offset = 0 WHERE grp = 'models' AND topic = ANY(%s)", ([places[0][0]],)
    )
    fold.close()
    fold_live(settings, 6)
    assert shown() == wanted


def build_of(db: Database, model: str) -> int:
    ((number,),) = db.execute(
        "SELECT build FROM refold.builds WHERE model = %s AND status = 'serving'", (model,)
    ).fetchall()
    return int(number)


def test_an_empty_database_is_filled_outcomes_included(settings: Settings, db: Database, retail: Declared) -> None:
    fold_live(settings)
    before, outcomes = tables(db, retail), db.execute("SELECT * FROM refold.outcomes ORDER BY key").fetchall()
    for schema in [
        "refold",
        "retail",
        *(row[0] for row in db.execute("SELECT 'refold_b' || build FROM refold.builds")),
    ]:
        db.execute(f"DROP SCHEMA {schema} CASCADE".encode())
    with Replay(settings) as replay:
        assert replay.plan(()).fills
        with pytest.raises(NothingFolded):
            replay.plan(["baskets"])
        replay.execute((), quiet)
    assert tables(db, retail) == before
    assert db.execute("SELECT * FROM refold.outcomes ORDER BY key").fetchall() == outcomes
    fold_live(settings)
    assert tables(db, retail) == before


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


@pytest.mark.parametrize("after", [1, 3])
def test_a_killed_rebuild_goes_on_from_its_last_flush(
    settings: Settings, db: Database, retail: Declared, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    fold_live(settings)
    before = tables(db, retail)
    monkeypatch.setattr(fold_log_module, "BATCH_RECORDS", 500)
    monkeypatch.setattr(rebuild_module, "FLUSH_S", 0.0)
    monkeypatch.setattr(building, "READ_RECORDS", 300)
    flushes = []

    def flush_then_die(self: staging.Staging, db: Database, original: Any = staging.Staging.flush) -> None:
        original(self, db)
        flushes.append(self.build.number)
        if len(flushes) == len(TABLES) * after + 1:
            raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(staging.Staging, "flush", flush_then_die)
        with pytest.raises(Killed), Replay(settings) as replay:
            replay.execute((), quiet)
    with Replay(settings) as replay:
        plan = replay.plan(())
        assert all(model.resumes for model in plan.models)
        report = replay.execute((), quiet)
    assert 0 < report.records < 3000
    assert all(model.differing == 0 for model in report.models)
    assert tables(db, retail) == before


def test_an_event_table_is_written_while_the_log_is_read_and_goes_on_from_there_after_a_kill(
    settings: Settings, db: Database, retail: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold_live(settings)
    before = tables(db, retail)
    monkeypatch.setattr(fold_log_module, "BATCH_RECORDS", 500)
    monkeypatch.setattr(rebuild_module, "APPEND_ROWS", 300)
    monkeypatch.setattr(building, "READ_RECORDS", 300)
    flushed = []

    def flush_or_die(self: staging.Staging, db: Database, original: Any = staging.Staging.flush) -> None:
        flushed.append(self.layout.name)
        if len(flushed) == 3:
            raise Killed
        original(self, db)

    with monkeypatch.context() as dying:
        dying.setattr(staging.Staging, "flush", flush_or_die)
        with pytest.raises(Killed), Replay(settings) as replay:
            replay.execute((), quiet)
    assert flushed == ["basket_lines"] * 3
    with Replay(settings) as replay:
        left = {model.model: model.records for model in replay.plan(()).models}
        report = replay.execute((), quiet)
    assert left["basket_lines"] < left["baskets"]
    assert {model.model: model.differing for model in report.models} == dict.fromkeys(TABLES, 0)
    assert tables(db, retail) == before


@pytest.mark.parametrize("whole", [1, 2, 3])
def test_killed_while_only_some_tables_are_finished_a_rebuild_folds_the_others_on(
    settings: Settings, db: Database, retail: Declared, monkeypatch: pytest.MonkeyPatch, whole: int
) -> None:
    fold_live(settings)
    before = tables(db, retail)
    finished = SimpleQueue[int]()

    def finish_or_die(self: staging.Staging, db: Database, original: Any = staging.Staging.finish) -> None:
        if finished.qsize() >= whole:
            raise Killed
        finished.put(self.build.number)
        original(self, db)

    with monkeypatch.context() as dying:
        dying.setattr(staging.Staging, "finish", finish_or_die)
        with pytest.raises(Killed), Replay(settings) as replay:
            replay.execute((), quiet)
    with Replay(settings) as replay:
        assert all(model.resumes for model in replay.plan(()).models)
        report = replay.execute((), quiet)
    assert {model.model: model.differing for model in report.models} == dict.fromkeys(TABLES, 0)
    assert tables(db, retail) == before


def test_rows_beyond_their_memory_are_written_with_their_positions(
    settings: Settings, db: Database, retail: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold_live(settings)
    before = tables(db, retail)
    monkeypatch.setattr(fold_log_module, "BATCH_RECORDS", 500)
    monkeypatch.setattr(building, "READ_RECORDS", 300)
    held = []

    def flush_noted(self: rebuild_module.Builder, original: Any = rebuild_module.Builder.flush) -> None:
        held.append(sum(staging.size for staging in self.staged))
        original(self)
        assert sum(staging.size for staging in self.staged) == 0

    monkeypatch.setattr(rebuild_module.Builder, "flush", flush_noted)
    with Replay(settings, room=1) as replay:
        report = replay.execute((), quiet)
    assert sum(size > 1 for size in held) >= 3
    assert all(model.differing == 0 for model in report.models)
    assert tables(db, retail) == before


@pytest.mark.usefixtures("db")
def test_large_records_make_small_batches(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    fold_live(settings)
    monkeypatch.setattr(fold_log_module, "BATCH_BYTES", 1)
    monkeypatch.setattr(building, "READ_RECORDS", 300)
    batches = []

    def prepare_noted(
        self: rebuild_module.Builder, chunks: Any, original: Any = rebuild_module.Builder.prepare
    ) -> Prepared:
        batches.append(sum(len(chunk.values) for chunk in chunks))
        prepared: Prepared = original(self, chunks)
        return prepared

    monkeypatch.setattr(rebuild_module.Builder, "prepare", prepare_noted)
    with Replay(settings) as replay:
        report = replay.execute((), quiet)
    assert max(batches) <= 300
    assert sum(batches) == report.records
    assert all(model.differing == 0 for model in report.models)


@pytest.mark.parametrize("processes", [2, 3])
def test_any_number_of_processes_gives_the_same_tables(
    settings: Settings, db: Database, retail: Declared, processes: int
) -> None:
    fold_live(settings)
    before = tables(db, retail)
    with Replay(settings) as replay:
        alone = replay.execute((), quiet)
    taken: list[Part] = []
    with pytest.MonkeyPatch.context() as noting, Replay(settings, processes=processes) as replay:
        noting.setattr(rebuild_module.Builder, "take", noted(rebuild_module.Builder.take, taken))
        report = replay.execute((), quiet)
        verified = replay.verify((), quiet)
    assert sum(part.events for part in taken) == report.events + verified.events  # the children left nothing
    assert (report.records, report.events, report.fell_back) == (alone.records, alone.events, alone.fell_back)
    assert all(model.differing == 0 for model in report.models)
    assert verified.equal
    assert tables(db, retail) == before


def test_what_a_killed_process_leaves_is_folded_by_the_one_that_began(
    settings: Settings, db: Database, retail: Declared, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fold_live(settings)
    before = tables(db, retail)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    armed = tmp_path / "replay.within-share"
    armed.write_text("kill")
    taken: list[Part] = []
    monkeypatch.setattr(rebuild_module.Builder, "take", noted(rebuild_module.Builder.take, taken))
    with Replay(settings, processes=3) as replay:
        report = replay.execute((), quiet)
    assert not armed.exists()
    assert 0 < sum(part.events for part in taken) < report.events
    assert all(model.differing == 0 for model in report.models)
    assert tables(db, retail) == before


def test_a_rebuild_that_is_killed_among_its_processes_goes_on_from_its_last_flush(
    settings: Settings, db: Database, retail: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold_live(settings)
    before = tables(db, retail)
    monkeypatch.setattr(rebuild_module, "FLUSH_S", 0.0)
    taken: list[Part] = []

    def take_then_die(self: rebuild_module.Builder, part: Part, original: Any = rebuild_module.Builder.take) -> None:
        taken.append(part)
        if len(taken) == 2:
            raise Killed
        original(self, part)

    with monkeypatch.context() as dying:
        dying.setattr(rebuild_module.Builder, "take", take_then_die)
        with pytest.raises(Killed), Replay(settings, processes=3) as replay:
            replay.execute((), quiet)
    with Replay(settings, processes=2) as replay:
        assert all(model.resumes for model in replay.plan(()).models)
        report = replay.execute((), quiet)
    assert 0 < report.records < 3000
    assert all(model.differing == 0 for model in report.models)
    assert tables(db, retail) == before


def noted(take: Any, parts: list[Part]) -> Any:
    """`Builder.take`, which also notes the parts."""

    def take_and_note(self: rebuild_module.Builder, part: Part) -> None:
        parts.append(part)
        take(self, part)

    return take_and_note


def test_a_live_table_that_was_changed_by_hand_is_found_and_keeps_serving(settings: Settings, db: Database) -> None:
    fold_live(settings)
    table = next(f"{one.schema}.baskets" for one in builds.builds(db) if one.model == "baskets")
    db.execute(f"UPDATE {table} SET total = total + 1 WHERE basket_id = (SELECT min(basket_id) FROM {table})".encode())
    with Replay(settings) as replay, pytest.raises(RebuildDiffers, match="1 of"):
        replay.execute(["baskets"], quiet)
    assert db.execute("SELECT status FROM refold.builds WHERE model = 'baskets' ORDER BY build").fetchall() == [
        ("serving",),
        ("shadow",),
    ]


BUGS = (
    "UPDATE {0} SET total = total + 1 WHERE basket_id IN (SELECT basket_id FROM {0} ORDER BY basket_id LIMIT 100)",
    "DELETE FROM {0} WHERE basket_id IN (SELECT basket_id FROM {0} ORDER BY basket_id DESC LIMIT 20)",
    (
        "UPDATE {0} SET basket_id = 'wrong ' || basket_id WHERE basket_id IN"
        " (SELECT basket_id FROM {0} ORDER BY basket_id OFFSET 150 LIMIT 8)"
    ),
    (
        "INSERT INTO {0} SELECT (jsonb_populate_record(b, jsonb_build_object('basket_id', 'forged')))."
        "* FROM {0} b ORDER BY b.basket_id LIMIT 1"
    ),
)
"""100 rows changed, 20 missing, 8 under another key (missing and extra), 1 extra: 137 rows differ."""


def test_a_bug_in_137_rows_is_listed_mended_and_brought_back_while_readers_see_no_error(
    settings: Settings, db: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = cli.run(["replay", *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out or "null")

    def rows() -> dict[str, Any]:
        return dict(db.execute("SELECT basket_id, total FROM retail.baskets").fetchall())

    fold_live(settings)
    right = rows()
    for bug in BUGS:
        db.execute(bug.format(f"refold_b{build_of(db, 'baskets')}.baskets").encode())
    wrong = rows()
    wanted = {("changed" if key in right else "extra", key) for key in wrong if wrong[key] != right.get(key)}
    wanted |= {("missing", key) for key in right.keys() - wrong.keys()}
    assert len(wanted) == 137

    with polled(settings, "SELECT count(*), sum(total) FROM retail.baskets") as seen:
        code, found = run("verify", "baskets")
        assert (code, found["models"][0]["changed"]) == (exits.DIFFERENT, 100)
        listed = found["models"][0]["listed"]
        assert {(one["kind"], one["key"]["basket_id"]) for one in listed} == wanted
        for one in listed:
            if one["kind"] == "changed":
                key = one["key"]["basket_id"]
                assert one["columns"] == {"total": [str(wrong[key]), str(right[key])]}
        code, foreseen = run("preview", "baskets")
        assert (code, foreseen["models"][0]["columns"]) == (exits.DIFFERENT, {"total": 100})
        for one in listed:  # a preview compares what readers see
            one["columns"] = {name: pair for name, pair in one["columns"].items() if not name.startswith("_")}
        by_key = lambda one: one["key"]["basket_id"]  # noqa: E731 - one line says it
        assert sorted(foreseen["models"][0]["listed"], key=by_key) == sorted(listed, key=by_key)
        assert rows() == wrong
        assert run("rebuild", "baskets", "--accept", "--execute")[0] == exits.DONE
        assert rows() == right
        assert run("verify", "baskets")[0] == exits.DONE
        assert run("preview", "baskets")[0] == exits.DONE
        assert run("rollback", "baskets", "--execute")[0] == exits.DONE
        assert rows() == wrong
        assert run("rollback", "baskets", "--execute")[0] == exits.DONE
        assert run("prune", "--execute")[0] == exits.DONE
        assert rows() == right
    assert seen == {((len(of), sum(of.values())),) for of in (right, wrong)}


@contextmanager
def polled(settings: Settings, question: str) -> Iterator[set[tuple[Any, ...]]]:
    """All answers that a reader gets who asks all the time while the block lasts; an error ends the test."""
    seen, done, asked = set[tuple[Any, ...]](), Flag(), Flag()

    def ask() -> None:
        with connect(settings.dsn(), application_name="reader") as reader:
            while not done.is_set():
                seen.add(tuple(reader.execute(question.encode()).fetchall()))
                asked.set()

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(ask)
        try:
            asked.wait(30)
            yield seen
        finally:
            done.set()
        reading.result(30)


def test_one_rebuild_of_a_model_at_a_time(settings: Settings, db: Database) -> None:
    fold_live(settings)
    db.execute("SELECT pg_advisory_lock(hashtextextended('refold/rebuild/retail.baskets', 0))")
    with Replay(settings) as replay:
        with pytest.raises(RebuildRunning):
            replay.execute(["baskets"], quiet)
        with pytest.raises(UnknownModel):
            replay.plan(["nothing"])


def test_a_rebuild_reads_what_arrives_meanwhile_and_shadows_stay_equal(settings: Settings, db: Database) -> None:
    fold_live(settings)
    with Replay(settings) as replay:
        replay.execute(["store_daily"], quiet)
    more = [item for item in decided(1) if item.category == "retail.product"][200:260]
    LogWriter(settings, load_domains(settings.domains), epoch=2).write(more)
    fold_live(settings, 3)
    rows = db.execute("SELECT count(*) FROM retail.product_sales WHERE department IS NOT NULL").fetchone()
    assert rows == (260,)
    with Replay(settings) as replay:
        assert all(model.differing == 0 for model in replay.execute((), quiet).models)
