"""The models fold against Postgres: the rows of the naive fold, however the log is cut; failing models are detached."""

import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, LiteralString

import pytest
from psycopg import sql
from psycopg.rows import dict_row

from refold.projections.live.models import ModelsFold
from refold.projections.live.process import ensure_builds
from refold.projections.tables import names
from refold.projections.tables.builds import GROUP
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import memories_of
from refold.schemas.contracts import Event
from refold.schemas.rejections import RejectedCommand
from refold.streams.chunk import Chunk
from refold.streams.core.limits import group_positions
from refold.streams.errors import Lost
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database
from refold.streams.postgres.control_tables import bootstrap
from tests.projections.conftest import core_stands
from tests.projections.naive import Happened, naive_rows
from tests.projections.sample import (
    ACCOUNTS,
    BY_OPENER,
    BY_OWNER,
    HISTORY,
    OPENED_STEPS,
    REFUSALS,
    REFUSED_STEPS,
    STEPS,
    Balance,
    Closed,
    Opened,
    Paid,
    PaidTwice,
    Renamed,
    Reopened,
    Sent,
    as_today,
    chunks_of,
    log_of,
)

INCOMPRESSIBLE = random.Random(54000).randbytes(2500).hex()
OWNERS = [None, "ann", "eve", 'q"\\N,{}', "", INCOMPRESSIBLE, "x" * 100_000]


def random_log(seed: int, size: int = 60) -> list[Happened]:
    chance = random.Random(seed)

    def event() -> Event:
        amount, owner = Decimal(chance.randint(-500, 500)) / 100, chance.choice(OWNERS)
        kinds = [Opened(owner=owner), Sent(amount=amount, owner=owner), Closed()]
        paid = Paid(amount=amount, points=chance.randint(0, 8), huge=chance.choice([2**63 - 1, -5]), owner=owner)
        twice = PaidTwice(first=amount, second=-amount, points=chance.randint(0, 8))
        retired = [Renamed(owner=owner), Reopened(owner=owner), twice]
        refused = RejectedCommand(command="Pay", code=chance.choice(["broke", "closed"]), message=str(chance.random()))
        return chance.choice([*kinds, *retired, paid, paid, paid, paid, refused, refused])

    return log_of([(chance.choice("abcde"), event(), chance.randint(0, 4)) for _ in range(size)])


def feed(fold: ModelsFold, db: Database, log: Sequence[Happened], seed: int) -> None:
    chance, rest = random.Random(seed), list(log)
    starts: dict[tuple[str, int], int] = {}
    ends: dict[tuple[str, int], int] = {}
    core_stands(db, {chunk.place: chunk.end for chunk in chunks_of(log, ends)})
    fold.stored(list(ends))
    while rest:
        size = chance.randint(1, 25)
        chunks = chunks_of(rest[:size], starts)
        assert fold.apply(chunks) == {chunk.place: chunk.end for chunk in chunks}
        del rest[:size]


def rows(db: Database, layout: Layout) -> list[dict[str, Any]]:
    keys = sql.SQL(", ").join(sql.SQL("{} NULLS FIRST").format(sql.Identifier(name)) for name in layout.key_names)
    view = sql.Identifier(layout.model.domain, layout.name)
    with db.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(sql.SQL("SELECT * FROM {} ORDER BY {}").format(view, keys)).fetchall()


def bytes_of(db: Database, layout: Layout) -> list[str]:
    """The rows of the model's table and of those beside it."""
    tables = [names.table(one, f"refold_b{_build(db, layout.name)}") for one in layout.tables]
    all_rows = sql.SQL(" UNION ALL ").join(sql.SQL("SELECT t::text FROM {} t").format(table) for table in tables)
    return [row[0] for row in db.execute(sql.SQL("{} ORDER BY 1").format(all_rows))]


def _build(db: Database, name: str) -> int:
    row = db.execute("SELECT build FROM refold.builds WHERE model = %s AND status = 'serving'", (name,)).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("seed", range(3))
def test_live_tables_are_the_naive_fold_and_equal_to_the_byte_however_the_log_is_cut(
    fold: ModelsFold, db: Database, sample: Declared, seed: int
) -> None:
    log = random_log(seed)
    feed(fold, db, log, seed)
    found = {layout.name: bytes_of(db, layout) for layout in sample.layouts.values()}
    for model in (BY_OWNER, ACCOUNTS, HISTORY, STEPS, BY_OPENER, OPENED_STEPS, REFUSALS, REFUSED_STEPS):
        assert rows(db, sample.named(model.name)) == naive_rows(model, as_today(log))
    assert balances(log) == {
        row["account"]: (row["owner"], row["amount"], row["streak"]) for row in rows(db, sample.named("balances"))
    }
    for layout in sample.layouts.values():
        tables = [*layout.tables, *(memory.layout for memory in memories_of(layout))]
        for one in tables:
            db.execute(sql.SQL("TRUNCATE {}").format(names.table(one, f"refold_b{_build(db, layout.name)}")))
    db.execute("UPDATE refold.positions SET next_offset = 0 WHERE grp = 'models'")
    feed(fold, db, log, seed + 100)
    assert {layout.name: bytes_of(db, layout) for layout in sample.layouts.values()} == found


def balances(log: Sequence[Happened]) -> dict[str, tuple[Any, ...]]:
    found: dict[str, Balance] = {}
    for item in as_today(log):
        state = found.get(item.stream, Balance())
        match item.event:
            case Opened(owner=owner):
                found[item.stream] = Balance(owner, state.amount, state.streak)
            case Paid(amount=amount, points=points):
                found[item.stream] = Balance(state.owner, state.amount + amount, state.streak + 1 if points > 2 else 0)
            case Closed():
                found.pop(item.stream, None)
    return {stream: (state.owner, state.amount, state.streak) for stream, state in sorted(found.items())}


def test_a_chunk_that_starts_elsewhere_changes_nothing(fold: ModelsFold, db: Database, sample: Declared) -> None:
    log = random_log(7, 20)
    feed(fold, db, log, 1)
    before = {layout.name: bytes_of(db, layout) for layout in sample.layouts.values()}
    with pytest.raises(Lost):
        fold.apply(chunks_of(log, {}))
    assert {layout.name: bytes_of(db, layout) for layout in sample.layouts.values()} == before


def test_an_emptied_database_in_which_another_process_has_begun_is_not_folded_without_tables(
    fold: ModelsFold, db: Database, sample: Declared
) -> None:
    log, ends = random_log(1), dict[tuple[str, int], int]()
    chunks = chunks_of(log, ends)
    for schema in ("refold", *(f"refold_b{_build(db, layout.name)}" for layout in sample.layouts.values())):
        db.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
    bootstrap(db)
    core_stands(db, ends)
    positions.stored(db, GROUP, list(ends))
    with pytest.raises(Lost):
        fold.apply(chunks)
    assert set(group_positions(db, GROUP).values()) == {0}
    with pytest.raises(SystemExit, match="the database was emptied"):
        fold.stored(list(ends))
    ensure_builds(db, sample)
    feed(fold, db, log, 2)
    assert rows(db, sample.named(BY_OWNER.name)) == naive_rows(BY_OWNER, as_today(log))


def test_the_fold_stops_where_the_core_stands_and_skips_what_it_called_void(
    fold: ModelsFold, db: Database, sample: Declared
) -> None:
    log = log_of([("a", Paid(amount=Decimal(n), points=0, huge=0), n) for n in range(1, 6)])
    (chunk,) = chunks_of(log, {})
    fold.stored([chunk.place])
    core_stands(db, {chunk.place: 3})
    db.execute("INSERT INTO refold.voids VALUES (%s, %s, 1, 1, 'void')", chunk.place)
    assert fold.apply([chunk]) == {chunk.place: 3}
    assert [row["amount"] for row in rows(db, sample.named("accounts"))] == [Decimal("4.00")]
    assert fold.apply([chunk.since(3)]) == {chunk.place: 3}


def test_an_unreadable_event_parks_its_stream_for_every_model(fold: ModelsFold, db: Database, sample: Declared) -> None:
    log = log_of([(stream, Paid(amount=Decimal(1), points=0, huge=0), 1) for stream in "abacba"])
    chunks = [_broken(chunk) for chunk in chunks_of(log, {})]
    fold.stored([chunk.place for chunk in chunks])
    core_stands(db, {chunk.place: chunk.end for chunk in chunks})
    for chunk in chunks:
        for offset in range(chunk.start, chunk.end):
            fold.apply([chunk.upto(offset + 1).since(offset)])
    assert {row["account"]: row["payments"] for row in rows(db, sample.named("accounts"))} == {"a": 1, "b": 2, "c": 1}
    assert sum(row["payments"] for row in rows(db, sample.named("by_owner"))) == 4
    assert db.execute("SELECT build, stream, waiting FROM refold.parked").fetchall() == [(0, "a", 2)]


def test_an_upcaster_that_raises_parks_the_stream_for_every_model_and_says_why(
    fold: ModelsFold, db: Database, sample: Declared
) -> None:
    pays = Paid(amount=Decimal(1), points=0, huge=0)
    twice = PaidTwice(first=Decimal(2), second=Decimal(3), points=0)
    log = log_of([("a", pays, 1), ("b", twice, 1), ("a", Renamed(owner="nobody"), 1), ("a", twice, 1), ("b", pays, 1)])
    feed(fold, db, log, 2)
    assert {row["account"]: row["payments"] for row in rows(db, sample.named("accounts"))} == {"a": 1, "b": 3}
    assert {row["account"]: row["amount"] for row in rows(db, sample.named("balances"))} == {
        "a": Decimal("1.00"),
        "b": Decimal("6.00"),
    }
    ((build, stream, waiting, code, reason),) = db.execute(
        "SELECT build, stream, waiting, code, reason FROM refold.parked"
    ).fetchall()
    assert (build, stream, waiting, code) == (0, "a", 2, "upcast-failed")
    assert reason.endswith("cannot be read: renamed: ValueError: there is no such owner")


def test_a_stored_event_is_folded_by_evolve_whole_or_not_at_all(
    fold: ModelsFold, db: Database, sample: Declared
) -> None:
    """The second of the two payments that the stored one is read as is the one that `evolve` refuses."""
    log = log_of([("a", Paid(amount=Decimal(1), points=0, huge=0), 1)])
    log += log_of([("a", PaidTwice(first=Decimal(2), second=Decimal(3), points=12), 2)] * 2)[1:]
    feed(fold, db, log, 4)
    assert [row["amount"] for row in rows(db, sample.named("balances"))] == [Decimal("1.00")]
    assert db.execute("SELECT waiting, code FROM refold.parked").fetchall() == [(1, "event-failed")]


def _broken(chunk: Chunk) -> Chunk:
    """The second event of stream a loses its last byte, and its size says so."""
    values = list(chunk.values)
    ours = [i for i, value in enumerate(values) if value is not None and b"\x02a" in value]
    if len(ours) > 1:
        value = values[ours[1]]
        assert value is not None
        values[ours[1]] = value[:5] + (len(value) - 1).to_bytes(4) + value[9:-1]
    return Chunk(chunk.topic, chunk.part, chunk.start, values)


def test_an_event_that_evolve_cannot_fold_parks_the_stream_for_that_model_alone(
    fold: ModelsFold, db: Database, sample: Declared
) -> None:
    points = [5, 13, 5, 13]
    log = log_of([("a", Paid(amount=Decimal(1), points=p, huge=0), 1) for p in points] + [("b", Opened(owner="x"), 1)])
    feed(fold, db, log, 3)
    assert {row["account"]: row["amount"] for row in rows(db, sample.named("balances"))} == {
        "a": Decimal("1.00"),
        "b": Decimal("0.00"),
    }
    assert {row["account"]: row["payments"] for row in rows(db, sample.named("accounts"))} == {"a": 4, "b": 0}
    assert db.execute("SELECT build, stream, waiting, code FROM refold.parked").fetchall() == [
        (_build(db, "balances"), "a", 3, "event-failed")
    ]


@pytest.mark.parametrize(
    "spoilt",
    [
        "ALTER TABLE {} DROP COLUMN payments CASCADE",
        "CREATE INDEX ON {} (last_owner)",  # of an operator's: it refuses a long text by 54000, an OperationalError
        "ALTER TABLE {} ADD CHECK (payments < 0)",
    ],
)
def test_a_model_that_cannot_be_written_is_detached_and_the_others_go_on(
    fold: ModelsFold, db: Database, sample: Declared, spoilt: LiteralString
) -> None:
    number = _build(db, "by_owner")
    db.execute(sql.SQL(spoilt).format(sql.Identifier(f"refold_b{number}", "by_owner")))
    log = random_log(5)
    feed(fold, db, log, 5)
    assert rows(db, sample.named("accounts")) == naive_rows(ACCOUNTS, as_today(log))
    assert db.execute("SELECT detached_code FROM refold.builds WHERE build = %s", (number,)).fetchone() == (
        "model-failed",
    )
    if "INDEX" not in spoilt:  # the others fail on the first event already
        stands = db.execute("SELECT sum(next_offset) FROM refold.model_positions('sample', 'by_owner')").fetchone()
        assert stands == (0,)


def test_a_model_of_another_declaration_is_detached(fold: ModelsFold, db: Database, sample: Declared) -> None:
    db.execute("UPDATE refold.builds SET fingerprint = 'other' WHERE model = 'accounts'")
    log = random_log(6)
    feed(fold, db, log, 6)
    assert rows(db, sample.named("by_owner")) == naive_rows(BY_OWNER, as_today(log))
    assert rows(db, sample.named("accounts")) == []
    assert db.execute("SELECT detached_code FROM refold.builds WHERE model = 'accounts'").fetchone() == ("fingerprint",)
