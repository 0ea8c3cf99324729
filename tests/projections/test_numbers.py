"""Numbers and times at their types' ends, in Postgres: by rows, by columns or rebuilt, equal to the byte or refused."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from psycopg import sql
from psycopg.errors import NumericValueOutOfRange

from refold.projections.declaring.history import History
from refold.projections.live.models import ModelsFold
from refold.projections.live.process import ensure_builds
from refold.projections.partials.batch import batch_of, counted_events
from refold.projections.partials.row_batch import FEW
from refold.projections.replay import promote
from refold.projections.replay.builder import Builder
from refold.projections.replay.decoding import Decoding, Prepared
from refold.projections.replay.staging import Staging
from refold.projections.tables import builds
from refold.projections.tables.declared import Declared, declared_of
from refold.schemas.columns.decoder import ColumnDecoder
from refold.schemas.contracts import Event
from refold.streams.postgres.connection import Database, connect
from refold.streams.postgres.control_tables import bootstrap
from tests.projections.conftest import core_stands
from tests.projections.numbers import (
    CATALOG,
    DECLARED,
    EDGES,
    HELD,
    KEPT,
    LEDGER,
    SCALES,
    SHOWN,
    TOTALS,
    Ends,
    chunk_of,
    moved,
    number,
)

PLACE = (f"{LEDGER.name}.events", 0)
MOST = 10**38 - 1
LONG = 12345678901234567123456789012345678
"""12345678901234567.123456789012345678 at 18 places."""
HISTORY = History(name="every_number", description="D.", of=LEDGER)
MODELS = declared_of([*TOTALS.values(), EDGES, HISTORY])
WITH_EVOLVE = declared_of([HELD, EDGES])
TWO = declared_of([TOTALS[0], TOTALS[2]])


def edges() -> list[Event]:
    """Each type's least and greatest, and what lies beside them."""
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    times = [first, last, datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), datetime(999, 7, 4, tzinfo=UTC)]
    days = [date.min, date.max, date(999, 12, 31), date(1970, 1, 1)]
    wholes, longs = [-(2**31), 2**31 - 1, -1, 0], [-(2**63), 2**63 - 1, -1, 2**63 - 1]
    narrow = [1 - 10**19, 10**19 - 1, -1, 10**19 - 1]
    wide = [LONG, LONG, -1, 10**37]
    return [
        Ends(whole=w, long=n, day=d, at=t, narrow=number(x, 2), wide=number(y, 18))
        for w, n, d, t, x, y in zip(wholes, longs, days, times, narrow, wide, strict=True)
    ]


@pytest.fixture
def db(database: str) -> Iterator[Database]:
    with connect(database, application_name="test") as connection:
        bootstrap(connection)
        yield connection


def live(db: Database, url: str, found: Declared, cuts: Sequence[Sequence[Event]]) -> ModelsFold:
    """Fold chunks of one stream, one transaction each."""
    ensure_builds(db, found)
    fold = ModelsFold(url, "", CATALOG, found)
    fold.stored([PLACE])
    start = 0
    for events in cuts:
        chunk = chunk_of(list(events), start)
        core_stands(db, {PLACE: chunk.end})
        assert fold.apply([chunk]) == {PLACE: chunk.end}
        start = chunk.end
    fold.close()
    return fold


def rebuilt(db: Database, found: Declared, cuts: Sequence[Sequence[Event]], *, flushes: bool) -> Builder:
    """The same chunks by the engine of a rebuild, flushed once, or after each of them."""
    staged = [
        Staging(db, layout, promote.begin(db, layout, found.fingerprints[name], None), [])
        for name, layout in found.layouts.items()
    ]
    types, decoder = found.types[LEDGER.name], ColumnDecoder(CATALOG, thin=True)
    decoding = Decoding(db, "", decoder, found.types)
    builder, start = Builder(db, decoding, staged, {PLACE: 0}), 0
    for events in cuts:
        chunk = chunk_of(list(events), start)
        batch = batch_of(LEDGER.name, [chunk])
        counted = counted_events(decoder, types, batch, {}, [])
        builder.add(Prepared({PLACE: chunk.end}, {LEDGER.name: (batch, counted)}))
        if flushes:
            builder.flush()
        start = chunk.end
    builder.flush()
    builder.finish()
    return builder


def bytes_of(db: Database, schema: str, name: str) -> list[str]:
    query = sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(schema, name))
    return [row[0] for row in db.execute(query)]


def tables(db: Database, found: Declared) -> dict[str, list[str]]:
    serving = {build.model: build for build in builds.builds(db) if build.status == "serving"}
    return {name: bytes_of(db, serving[name].schema, name) for _, name in found.layouts}


def built(db: Database, builder: Builder) -> dict[str, list[str]]:
    return {one.layout.name: bytes_of(db, one.build.schema, one.layout.name) for one in builder.staged}


def forget(db: Database) -> None:
    """As if nothing had been folded."""
    for build in builds.builds(db):
        with db.transaction():
            promote.drop(db, build)
    db.execute("DELETE FROM refold.positions")


def everything() -> list[Event]:
    """At each scale: both ends, what is beside them, twice a long number, and the ends of all other types."""
    found: list[Event] = []
    for scale in SCALES:
        found += [moved(scale, unscaled, "a") for unscaled in (LONG, LONG, -1, 0)]
        found += [moved(scale, unscaled, "b") for unscaled in (MOST, -MOST, MOST)]
        found += [moved(scale, unscaled, "c") for unscaled in (-MOST, 1)]
    return found + edges()


def test_live_by_rows_by_columns_and_rebuilt_are_one_table(db: Database, database: str) -> None:
    log = everything()
    few, whole = [log[at : at + 40] for at in range(0, len(log), 40)], [log]
    assert len(few[0]) <= FEW < len(log)
    live(db, database, MODELS, few)
    by_rows = tables(db, MODELS)
    for scale in SCALES:
        totals = db.execute(
            f"SELECT account, total::text, least::text, most::text FROM numbers.totals_{scale} ORDER BY 1"
        )
        assert totals.fetchall() == [
            ("a", text(2 * LONG - 1, scale), text(-1, scale), text(LONG, scale)),
            ("b", text(MOST, scale), text(-MOST, scale), text(MOST, scale)),
            ("c", text(1 - MOST, scale), text(-MOST, scale), text(1, scale)),
        ]
    (edge,) = db.execute(
        "SELECT sum_long::text, sum_whole::text, sum_narrow::text, sum_wide::text, min_at::text, max_at::text, last_at::text,"
        " min_day::text, max_day::text FROM numbers.edges"
    ).fetchall()
    assert edge == (
        str(2**63 - 3), "-2", text(10**19 - 2, 2), text(2 * LONG - 1 + 10**37, 18), "0001-01-01 00:00:00+00",
        "9999-12-31 23:59:59.999999+00", "0999-07-04 00:00:00+00", "0001-01-01", "9999-12-31",
    )  # fmt: skip
    assert db.execute("SELECT payload FROM numbers.every_number WHERE event_type = 'Ends' ORDER BY version LIMIT 1").fetchone() == (
        {
            "whole": -(2**31), "long": -(2**63), "day": "0001-01-01", "at": "0001-01-01T00:00:00Z",
            "narrow": text(1 - 10**19, 2), "wide": text(LONG, 18),
        },
    )  # fmt: skip
    forget(db)
    live(db, database, MODELS, whole)
    assert tables(db, MODELS) == by_rows
    for cuts, flushes in ((whole, False), (few, False), ([log[:100], log[100:]], True)):
        builder = rebuilt(db, MODELS, cuts, flushes=flushes)
        assert not builder.failed
        assert built(db, builder) == by_rows


def text(unscaled: int, scale: int) -> str:
    return format(number(unscaled, scale), "f")


def test_evolve_meets_the_same_state_wherever_a_chunk_ends(db: Database, database: str) -> None:
    """Also where it looks at a number's text: a row gives its numbers back at the column's scale."""
    log = edges()
    live(db, database, WITH_EVOLVE, [[event] for event in log])
    singly = tables(db, WITH_EVOLVE)
    (held,) = db.execute("SELECT total::text, text, at::text, day::text FROM numbers.held").fetchall()
    total = 2 * LONG - 1 + 10**37
    assert held == (text(total, 18), text(2 * LONG - 1, 18), "0999-07-04 00:00:00+00", "1970-01-01")
    forget(db)
    live(db, database, WITH_EVOLVE, [log])
    assert tables(db, WITH_EVOLVE) == singly
    for flushes in (False, True):
        assert built(db, rebuilt(db, WITH_EVOLVE, [log[:2], log[2:]], flushes=flushes)) == singly


HUGE = 99999999999999999999999999999999999999
"""999999999999999999999999999999999999.99"""


@pytest.mark.parametrize("size", [1, 3, FEW + 6])
def test_a_sum_of_39_digits_detaches_its_model_alone(db: Database, database: str, size: int) -> None:
    log = [moved(2, HUGE) for _ in range(3)] + [moved(0, n) for n in range(FEW + 3)]
    live(db, database, TWO, [log[at : at + size] for at in range(0, len(log), size)])
    found = {build.model: build for build in builds.builds(db)}
    assert found["totals_2"].detached_code == "sum-overflow"
    assert found["totals_2"].detached_reason == (
        "totals_2: the sum of a row has more than 38 digits, which total cannot hold"
    )
    assert [build.model for build in found.values() if build.detached_code] == ["totals_2"]
    sums = db.execute("SELECT total FROM numbers.totals_2").fetchall()
    assert sums in ([], [(number(HUGE, 2),)])  # where it stood, which no chunk is part of
    assert db.execute("SELECT total FROM numbers.totals_0").fetchall() == [(Decimal(sum(range(FEW + 3))),)]


@pytest.mark.parametrize("size", [1, 3, FEW + 6])
@pytest.mark.parametrize("flushes", [True, False])
def test_a_rebuild_leaves_out_the_model_whose_sum_does_not_fit(db: Database, size: int, flushes: bool) -> None:
    log = [moved(2, HUGE) for _ in range(3)] + [moved(0, n) for n in range(FEW + 3)]
    builder = rebuilt(db, TWO, [log[at : at + size] for at in range(0, len(log), size)], flushes=flushes)
    ((staging, problem),) = builder.failed
    assert (staging.layout.name, problem.code) == ("totals_2", "sum-overflow")
    assert problem.message == "totals_2: the sum of a row has more than 38 digits, which total cannot hold"
    (row,) = built(db, builder)["totals_0"]
    assert row.startswith(f"(a,{sum(range(FEW + 3))},0,{FEW + 2},{FEW + 2},{FEW + 3},")


NINE = 9 * 10**37
CROSSING: list[tuple[str, list[list[int]], int | None]] = [
    ("a total that fits, of parts that do not", [[NINE, NINE, -NINE]], NINE),
    ("a chunk wider than the column", [[-NINE], [NINE, NINE]], NINE),
    ("a chunk wider than the column, downwards", [[NINE], [-NINE, -NINE]], -NINE),
    ("many events by columns", [[-NINE], [NINE, NINE, *[0] * FEW]], NINE),
    ("there and back, by columns", [[NINE, -NINE] * FEW], 0),
    ("a position at which it does not fit", [[NINE], [NINE], [-NINE]], None),
    ("never", [[NINE, NINE]], None),
    ("never, by columns", [[NINE, NINE, *[0] * FEW]], None),
    ("no way back", [[MOST], [1]], None),
    ("no way back, downwards", [[-MOST], [-1]], None),
]


@pytest.mark.parametrize(("cuts", "total"), [case[1:] for case in CROSSING], ids=[case[0] for case in CROSSING])
def test_at_each_position_a_total_is_exact_or_its_model_is_refused(
    db: Database, database: str, cuts: list[list[int]], total: int | None
) -> None:
    """It does not matter on what way a chunk comes to its sum, nor whether the sum of a chunk alone would fit."""
    chunks = [[moved(5, unscaled) for unscaled in chunk] for chunk in cuts]
    found = declared_of([TOTALS[5], TOTALS[6]])
    live(db, database, found, chunks)
    (build,) = [build for build in builds.builds(db) if build.model == "totals_5"]
    assert build.detached_code == ("sum-overflow" if total is None else None)
    if total is not None:
        assert db.execute("SELECT total FROM numbers.totals_5").fetchall() == [(number(total, 5),)]
    builder = rebuilt(db, found, chunks, flushes=True)
    assert [problem.code for _, problem in builder.failed] == (["sum-overflow"] if total is None else [])
    if total is not None:
        assert built(db, builder) == tables(db, found)


def test_a_views_columns_have_the_types_that_it_declares(db: Database, database: str) -> None:
    """To the scale, as other readers see it; of equal numbers it shows one text, whichever came last."""
    found = declared_of([TOTALS[18], SHOWN])
    live(db, database, found, [[moved(18, LONG)]])
    types = db.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'numbers.shown'::regclass AND attnum > 0 ORDER BY attnum"
    )
    assert dict(types.fetchall()) == DECLARED
    shown = db.execute("SELECT scaled::text, most::text, average::text, whole::text FROM numbers.shown").fetchall()
    assert shown == [(text(3 * LONG, 18), "1.10", "1.100", "3")]


def test_a_views_sum_that_does_not_fit_is_an_error_and_no_other_number(db: Database, database: str) -> None:
    live(db, database, declared_of([TOTALS[18], SHOWN]), [[moved(18, MOST)]])
    with pytest.raises(NumericValueOutOfRange):
        db.execute("SELECT scaled FROM numbers.shown")


def test_a_wide_chunk_behind_a_delete_counts_from_there(db: Database, database: str) -> None:
    end, found = edges()[0], declared_of([KEPT])
    up, down = moved(5, NINE), moved(5, -NINE)
    chunks = [[up], [end, down], [up, up], [end, up, up, down], [down], [down], [up, up]]
    live(db, database, found, chunks)
    assert db.execute("SELECT total FROM numbers.kept").fetchall() == [(number(NINE, 5),)]
    for flushes in (True, False):
        builder = rebuilt(db, found, chunks, flushes=flushes)
        assert not builder.failed
        assert built(db, builder) == tables(db, found)
