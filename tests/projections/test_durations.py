"""The time between two columns of a row: exact, rounded once, and the same in Postgres and in Python."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg import sql

from refold.projections import OCCURRED_AT, BadDeclaration, Entity, column, computed, duration, events
from refold.projections.declaring.expressions import SECONDS
from refold.projections.declaring.formulas import Elapsed, Formula
from refold.projections.declaring.sql_types import decimal
from refold.projections.tables.declared import declared_of
from refold.projections.tables.derived import Derived, expression, value_in
from refold.projections.tables.layout import layout_of
from refold.projections.tables.lineage import lineages_of
from refold.retail.schemas.basket import BASKET, BasketAbandoned, BasketOpened, BasketPaid
from refold.streams.postgres.connection import Database
from refold.testing import event_at, rows

OPENED, CLOSED = events(BASKET, BasketOpened), events(BASKET, BasketPaid, BasketAbandoned)
COLUMNS = {
    "opened_at": OPENED.min(OCCURRED_AT, "When."),
    "closed_at": CLOSED.max(OCCURRED_AT, "When."),
    "store": OPENED.last("store_id", "Store."),
}


WEEKS: Any = "weeks"


def visits(**shown: Any) -> Entity:
    return Entity(
        name="visits", domain="test", description="Visits.", category=BASKET, key_name="basket", key_doc="Id.",
        columns=COLUMNS, shown=shown,
    )  # fmt: skip


def test_the_time_between_two_events_of_a_stream() -> None:
    model = visits(
        minutes=duration("opened_at", "closed_at", "minutes", "Rounded."),
        hours=duration("opened_at", "closed_at", "hours", "To two places.", scale=2),
        back=duration("closed_at", "opened_at", "seconds", "The other way round."),
    )
    happened = [
        event_at("b1", "2026-03-28T23:30Z", BasketOpened(store_id=1)),
        event_at("b2", "2026-03-29T10:00Z", BasketOpened(store_id=1)),
        event_at("b1", "2026-03-29T00:00:30Z", BasketPaid(store_id=1, lines=1, total=Decimal(0))),
    ]
    assert [(row["minutes"], row["hours"], row["back"]) for row in rows(model, happened)] == [
        (Decimal(31), Decimal("0.51"), Decimal(-1830)),
        (None, None, None),
    ]
    lineage = lineages_of(declared_of([model]))["test", "visits"].columns["minutes"]
    assert "minutes from opened_at to closed_at" in str(lineage)


@pytest.mark.usefixtures("servers")
def test_postgres_counts_as_python_does(db: Database) -> None:
    chance = random.Random(5)
    first = datetime(1, 1, 1, tzinfo=UTC)

    def time() -> datetime | None:
        return None if chance.random() < 0.1 else first + timedelta(microseconds=chance.randrange(315_000_000 * 10**9))

    table = [
        {"a": time(), "b": time(), "c": date(2026, 1, chance.randint(1, 31)), "d": date(2024, 2, 29)} for _ in range(60)
    ]
    table.append({"a": first, "b": first + timedelta(microseconds=500_000), "c": date.min, "d": date.max})
    db.execute("CREATE TEMP TABLE held (place int, a timestamptz, b timestamptz, c date, d date)")
    for place, row in enumerate(table):
        db.execute("INSERT INTO held VALUES (%s, %s, %s, %s, %s)", [place, *row.values()])
    terms = [Elapsed("a", "b", unit) for unit in SECONDS] + [Elapsed("c", "d", "days", of_dates=True)]
    for term in [*terms, *(term * 3 - Decimal("0.5") for term in terms), terms[0] / terms[-1]]:
        for scale in (0, 2, 7):
            one = Derived("it", decimal(scale), "It.", Formula(term, scale))
            query = sql.SQL("SELECT ({})::{}::text FROM held ORDER BY place").format(
                expression(one), sql.SQL(one.type.sql)
            )
            found = [value_in(one, row) for row in table]
            assert [row[0] for row in db.execute(query)] == [None if v is None else format(v, "f") for v in found], term


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: duration("opened_at", "store", "hours", "D."), "two columns of times, or two of dates and days; it has opened_at, closed_at"),
        (lambda: duration("opened_at", "gone", "hours", "D."), "two columns of times"),
        (lambda: duration("opened_at", "closed_at", WEEKS, "D."), "counts seconds, minutes, hours, days, not 'weeks'"),
        (lambda: duration("opened_at", "closed_at", "hours", "D.", scale=39), "scale is a number of places"),
    ],
)  # fmt: skip
def test_what_cannot_be_counted_is_refused(make: Any, why: str) -> None:
    with pytest.raises(BadDeclaration) as refused:
        layout_of(visits(it=make()))
    assert why in refused.value.message


def test_a_time_is_no_number() -> None:
    with pytest.raises(BadDeclaration, match="opened_at is no column of numbers of it; it has store"):
        layout_of(
            visits(
                it=duration("opened_at", "closed_at", "hours", "D."), other=computed(column("opened_at") + 1, 0, "D.")
            )
        )
