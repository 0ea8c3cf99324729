"""A released stream has the rows that it would have had without a park; one that cannot be released does not change."""

from contextlib import closing
from dataclasses import replace
from decimal import Decimal

import pytest

from refold.projections.errors import NotParked, RebuildUnfinished
from refold.projections.live.models import ModelsFold
from refold.projections.live.release import Places, release
from refold.projections.replay.model_lock import alone
from refold.projections.tables import builds
from refold.projections.tables.declared import Declared, declared_of
from refold.schemas.rejections import RejectedCommand
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import StillUnreadable
from refold.streams.postgres.connection import Database, connect
from refold.streams.postgres.set_aside import masked
from tests.projections.conftest import core_stands
from tests.projections.naive import Happened, naive_rows
from tests.projections.sample import (
    ACCOUNTS,
    BALANCES,
    BY_OPENER,
    BY_OWNER,
    CATALOG,
    HISTORY,
    OPENED_STEPS,
    REFUSALS,
    REFUSED_STEPS,
    STEPS,
    Closed,
    Opened,
    Paid,
    chunks_of,
    log_of,
    partition_of,
)
from tests.projections.test_models import rows

CATEGORY = "sample.account"
TOPIC = "sample.account.events"


def paid(amount: int, points: int = 0) -> Paid:
    return Paid(amount=Decimal(amount), points=points, huge=0)


def log() -> list[Happened]:
    """Events of a and c of one partition, with a delete in the middle of a."""
    steps = [("a", Opened(owner="x"), 1), ("a", paid(1), 1), ("c", paid(7), 1), ("a", Closed(), 1), ("a", paid(3), 1)]
    return log_of([*steps, ("a", Opened(owner="y"), 1), ("c", paid(2), 1)])


def whole(of: list[Happened]) -> Chunk:
    assert {partition_of(stream) for stream in "ac"} == {partition_of("a")}
    (chunk,) = chunks_of(of, {})
    return chunk


def fold_broken(fold: ModelsFold, db: Database, found: list[Happened], row: int) -> Chunk:
    """All of the log, of which one event cannot be read; and what core would have noted of where a's events lie."""
    chunk = whole(found)
    place: Place = chunk.place
    fold.stored([place])
    core_stands(db, {place: chunk.end})
    offsets = [at for at, one in enumerate(found) if one.stream == "a" and not one.kind.is_rejection]
    db.execute(
        "INSERT INTO refold.stream_offsets VALUES (%s, 'a', 1, %s, %s)",
        (CATEGORY, chunk.part, offsets),
    )
    db.execute(
        "INSERT INTO refold.set_aside (grp, topic, part, record_offset) VALUES ('models', %s, %s, %s)", (*place, row)
    )
    fold.apply([masked(chunk, {place: {row: "decode-kills"}})])
    return chunk


def parked(db: Database) -> list[tuple[str, str, int]]:
    return db.execute("SELECT stream, code, waiting FROM refold.parked").fetchall()


@pytest.mark.parametrize("row", [0, 1, 3, 4, 5])
def test_a_released_stream_has_the_rows_of_one_that_never_waited(
    fold: ModelsFold, db: Database, sample: Declared, row: int
) -> None:
    chunk = fold_broken(fold, db, log(), row)
    waiting = sum(1 for offset, item in enumerate(log()) if item.stream == "a" and offset >= row)
    assert parked(db) == [("a", "decode-kills", waiting)]

    def read(_: str, places: Places) -> list[bytes | None]:
        return [chunk.values[offset] for _, offset in places]

    (done,) = release(fold, TOPIC, CATEGORY, "a", read)
    assert (done.stream, done.code, done.events) == ("a", "decode-kills", waiting)
    for model in (ACCOUNTS, BY_OWNER, HISTORY, STEPS, BY_OPENER, OPENED_STEPS):
        assert rows(db, sample.named(model.name)) == naive_rows(model, log())
    assert parked(db) == []
    assert db.execute("SELECT count(*) FROM refold.set_aside").fetchone() == (0,)
    with pytest.raises(NotParked):
        release(fold, TOPIC, CATEGORY, "a", read)


def test_rejections_of_a_waiting_stream_are_counted_at_once_and_once(
    fold: ModelsFold, db: Database, sample: Declared
) -> None:
    refused = RejectedCommand(command="Pay", code="broke", message="no")
    found = log_of([("a", Opened(owner="ann"), 0), ("a", refused, 0), ("a", paid(1), 0), ("a", refused, 0)])
    chunk = fold_broken(fold, db, found, 0)
    assert parked(db) == [("a", "decode-kills", 2)]
    of_rejections = [item for item in found if item.kind.is_rejection]
    assert rows(db, sample.named("refusals")) == naive_rows(REFUSALS, of_rejections)
    assert rows(db, sample.named("refused_steps")) == naive_rows(REFUSED_STEPS, found)
    release(fold, TOPIC, CATEGORY, "a", lambda _, places: [chunk.values[at] for _, at in places])
    for model in (ACCOUNTS, REFUSALS, REFUSED_STEPS):
        assert rows(db, sample.named(model.name)) == naive_rows(model, found)


def test_a_stream_that_still_cannot_be_read_goes_on_waiting(fold: ModelsFold, db: Database, sample: Declared) -> None:
    chunk = fold_broken(fold, db, log(), 1)
    before = rows(db, sample.named("accounts"))
    with pytest.raises(StillUnreadable, match="malformed"):
        release(fold, TOPIC, CATEGORY, "a", lambda _, places: [cut_off(chunk.values[at]) for _, at in places])
    assert rows(db, sample.named("accounts")) == before
    assert parked(db) == [("a", "decode-kills", 4)]
    assert db.execute("SELECT count(*) FROM refold.set_aside").fetchone() == (1,)


def cut_off(value: bytes | None) -> bytes:
    assert value is not None
    return value[:5] + (len(value) - 1).to_bytes(4) + value[9:-1]


def test_an_evolve_that_still_fails_goes_on_waiting(fold: ModelsFold, db: Database, sample: Declared) -> None:
    found = log_of([("a", paid(1), 1), ("a", paid(2, points=13), 1), ("a", paid(3), 1)])
    chunk = whole(found)
    fold.stored([chunk.place])
    core_stands(db, {chunk.place: chunk.end})
    db.execute("INSERT INTO refold.stream_offsets VALUES (%s, 'a', 1, %s, '{0,1,2}')", (CATEGORY, chunk.part))
    fold.apply([chunk])
    before = [rows(db, layout) for layout in sample.layouts.values()]
    with pytest.raises(StillUnreadable, match="event-failed"):
        release(fold, TOPIC, CATEGORY, "a", lambda _, places: [chunk.values[at] for _, at in places])
    assert [rows(db, layout) for layout in sample.layouts.values()] == before
    assert parked(db) == [("a", "event-failed", 2)]


def test_a_rebuild_that_is_not_done_comes_first(fold: ModelsFold, db: Database, sample: Declared) -> None:
    fold_broken(fold, db, log(), 1)
    builds.create(db, sample.named("accounts"), "f", "building")
    with pytest.raises(RebuildUnfinished):
        release(fold, TOPIC, CATEGORY, "a", lambda *_: [])
    assert len(parked(db)) == 1


@pytest.mark.parametrize(("start", "doing"), [(builds.VERIFIED, "verified"), (builds.PREVIEWED, "previewed")])
def test_a_build_of_a_verify_or_preview_is_waited_for_only_while_its_command_lives(
    fold: ModelsFold, db: Database, database: str, sample: Declared, start: str, doing: str
) -> None:
    found = log()
    chunk = fold_broken(fold, db, found, 1)
    left = builds.create(db, sample.named("accounts"), start + "f", "building")
    read = lambda _, places: [chunk.values[at] for _, at in places]  # noqa: E731 - one line says it
    with (
        closing(connect(database, application_name="verify")) as verifying,
        alone(verifying, [sample.named("accounts")]),
    ):
        with pytest.raises(RebuildUnfinished, match=f"being {doing}"):
            release(fold, TOPIC, CATEGORY, "a", read)
        assert len(parked(db)) == 1
        verifying.execute("SELECT pg_advisory_unlock_all()")  # so does Postgres when the process dies
    release(fold, TOPIC, CATEGORY, "a", read)
    assert rows(db, sample.named("accounts")) == naive_rows(ACCOUNTS, found)
    assert not parked(db)
    (now,) = [build for build in builds.builds(db) if build.number == left.number]
    assert (now.purpose, now.fingerprint == left.fingerprint) == (left.purpose, False), "no command may resume it"


def test_an_as_of_keeps_its_own_park(fold: ModelsFold, db: Database, sample: Declared) -> None:
    """Its command was killed and goes on later: its rows lack the waiting event, so the later ones wait, too."""
    found = log()
    chunk = fold_broken(fold, db, found, 1)
    left = builds.create(db, sample.named("accounts"), builds.TAKEN + "f", "building")
    db.execute(
        "INSERT INTO refold.parked SELECT (jsonb_populate_record(p, jsonb_build_object('build', %s::int))).* FROM refold.parked p",
        (left.number,),
    )
    release(fold, TOPIC, CATEGORY, "a", lambda _, places: [chunk.values[at] for _, at in places])
    assert rows(db, sample.named("accounts")) == naive_rows(ACCOUNTS, found)
    assert db.execute("SELECT build FROM refold.parked").fetchall() == [(left.number,)]


def test_a_table_of_other_code_keeps_its_own_park_until_that_code_releases_it(
    fold: ModelsFold, db: Database, database: str, sample: Declared
) -> None:
    """The code that releases cannot write it; forgotten, its rows would lack the stream for good."""
    without = replace(BY_OWNER, columns={"payments": BY_OWNER.columns["payments"]})
    others = (ACCOUNTS, BALANCES, BY_OPENER, HISTORY, OPENED_STEPS, STEPS, REFUSALS, REFUSED_STEPS)
    new = ModelsFold(database, "", CATALOG, declared_of((*others, without)))
    found = log()
    chunk = fold_broken(fold, db, found, 1)
    release(new, TOPIC, CATEGORY, "a", lambda _, places: [chunk.values[at] for _, at in places])
    (by_owner,) = [build for build in builds.builds(db) if build.model == "by_owner"]
    assert by_owner.is_apart
    assert db.execute("SELECT build FROM refold.parked").fetchall() == [(by_owner.number,)]
    assert rows(db, sample.named("accounts")) == naive_rows(ACCOUNTS, found)
    assert rows(db, sample.named("by_owner")) != naive_rows(BY_OWNER, found)
    with pytest.raises(NotParked):
        release(new, TOPIC, CATEGORY, "a", lambda *_: [])

    release(fold, TOPIC, CATEGORY, "a", lambda _, places: [chunk.values[at] for _, at in places])
    assert rows(db, sample.named("by_owner")) == naive_rows(BY_OWNER, found)
    assert rows(db, sample.named("accounts")) == naive_rows(ACCOUNTS, found)
    assert parked(db) == []
    new.close()
