"""Rows of read models without a server: the rows that Postgres would show, whichever way the events are folded."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.projections import Entity, events
from refold.projections.declaring.declaration import Evolve, Model
from refold.projections.errors import SumOverflow
from refold.retail.projections import BASKETS, STORE_DAILY
from refold.retail.schemas.basket import BasketOpened, BasketPaid, ItemScanned
from refold.retail.schemas.product import DelistReason, ProductDelisted
from refold.retail.views import VIEWS
from refold.schemas import Category, Event
from refold.schemas.errors import BadValue
from refold.testing import Impure, event_at, rows
from refold.testing.folding import Waits
from tests.projections.naive import Happened, naive_rows
from tests.projections.sample import (
    BALANCES,
    EPOCH,
    MODELS,
    Balance,
    Closed,
    Opened,
    Paid,
    PaidTwice,
    Renamed,
    Reopened,
    as_today,
    log_of,
)
from tests.projections.test_partial import EVENTS

SCANNED = ItemScanned(store_id=1, product_id=5, quantity=2, amount=Decimal("3.50"), discount=Decimal("0.10"))
LOGS = st.lists(st.tuples(st.sampled_from(["a", "a-", "b"]), EVENTS, st.integers(0, 4)), max_size=9).map(log_of)


def test_a_rollup_has_a_row_for_each_key() -> None:
    found = rows(
        STORE_DAILY,
        [
            event_at("b1", "2026-01-01T10:00Z", BasketOpened(store_id=1)),
            event_at("b1", "2026-01-01T10:01Z", SCANNED),
            event_at("b2", "2026-01-02T00:30+01:00", BasketOpened(store_id=1)),
            event_at("b1", datetime(2026, 1, 2, 9, tzinfo=UTC), BasketPaid(store_id=1, lines=1, total=Decimal("3.5"))),
        ],
    )
    assert [
        (row["day"], row["lines"], row["revenue"], row["baskets_opened"], row["largest_basket"]) for row in found
    ] == [
        (date(2026, 1, 1), 1, Decimal("3.50"), 2, None),
        (date(2026, 1, 2), 0, Decimal(0), 0, Decimal("3.50")),
    ]
    assert list(found[0]) == ["store_id", "day", *STORE_DAILY.columns]


def test_nothing_happened_so_there_is_no_row() -> None:
    assert [rows(model, []) for model in (STORE_DAILY, BASKETS, BALANCES)] == [[], [], []]


@pytest.mark.parametrize("model", MODELS[::2], ids=lambda model: model.name)
@settings(max_examples=15, deadline=None)
@given(log=LOGS)
def test_rows_are_those_of_the_naive_fold(model: Model, log: list[Happened]) -> None:
    of = {kind.category for column in model.columns.values() for kind in column.of.types}
    log = [item for item in log if item.kind.category in of]
    happened = [event_at(item.stream, item.occurred_at, item.event) for item in log]
    try:
        found = rows(model, happened)
    except Waits as waits:
        assert "there is no such owner" in str(waits)  # noqa: PT017 - only some logs wait
        return
    assert found == naive_rows(model, as_today(log))


def test_retired_events_are_upcast() -> None:
    found = rows(
        BALANCES,
        [
            event_at("a", EPOCH, Renamed(owner="ann")),
            event_at("a", EPOCH, PaidTwice(first=Decimal(1), second=Decimal("2.5"), points=3)),
            event_at("b", EPOCH, Paid(amount=Decimal(9), points=1, huge=1)),
            event_at("b", EPOCH, Reopened(owner="bob")),
        ],
    )
    assert found == [
        {"account": "a", "owner": "ann", "amount": Decimal("3.50"), "streak": 2},
        {"account": "b", "owner": "bob", "amount": Decimal(0), "streak": 0},
    ]


def test_a_deleted_row_is_not_shown() -> None:
    opened, closed = event_at("a", EPOCH, Opened(owner="ann")), event_at("a", EPOCH, Closed())
    assert [len(rows(model, [opened, closed])) for model in MODELS[:2]] == [0, 0]
    assert [len(rows(model, [opened, closed, opened])) for model in MODELS[:2]] == [1, 1]


def test_an_event_that_would_make_its_stream_wait_is_told() -> None:
    with pytest.raises(Waits, match=r"the stream a of sample\.account would wait: event-failed: .*thirteen"):
        rows(BALANCES, [event_at("a", EPOCH, Paid(amount=Decimal(1), points=13, huge=1))])
    with pytest.raises(Waits, match="there is no such owner"):
        rows(BALANCES, [event_at("a", EPOCH, Renamed(owner="nobody"))])


def test_an_impure_evolve_is_caught() -> None:
    seen: list[int] = []

    def fold(state: Balance | None, _: Any) -> Balance:
        seen.append(1)
        return Balance(streak=len(seen)) if state is None else state

    impure = replace(BALANCES, evolve=Evolve(Balance, fold, {"owner": "O.", "amount": "A.", "streak": "S."}))
    with pytest.raises(Impure, match="changed the enclosed seen"):
        rows(impure, [event_at("a", EPOCH, Opened(owner="ann"))])


def test_mistakes_in_a_test_are_told() -> None:
    with pytest.raises(TypeError, match=r"ProductDelisted is no event of retail\.basket, so no column can read it"):
        rows(BASKETS, [event_at("a", EPOCH, ProductDelisted(product_id=1, reason=DelistReason.RECALLED))])
    with pytest.raises(ValueError, match="has no zone"):
        event_at("a", "2026-01-01T10:00", BasketOpened(store_id=1))
    with pytest.raises(ValueError, match="cannot name a stream"):
        event_at("", EPOCH, BasketOpened(store_id=1))
    with pytest.raises(BadValue, match="store_id"):
        rows(BASKETS, [event_at("a", EPOCH, BasketOpened(store_id=-1))])
    with pytest.raises(TypeError, match="is a view in SQL"):
        rows(VIEWS[0], [])


class Counted(Event):
    """A large number was counted."""

    number: Annotated[Decimal, msgspec.Meta(extra={"precision": 38, "scale": 0}, description="How many.")]


def test_a_sum_that_its_column_cannot_hold_is_refused() -> None:
    category = Category("sample.count", (), (Counted,))
    counted = events(category, Counted)
    model = Entity(
        name="counts", domain="sample", description="C.", category=category, key_name="id", key_doc="I.",
        columns={"number": counted.sum("number", "N.")},
    )  # fmt: skip
    most = 10**38 - 1
    more, less = (event_at("a", EPOCH, Counted(number=Decimal(number))) for number in (most, -most))
    assert rows(model, [more, less, more]) == [{"id": "a", "number": Decimal(most)}]
    for happened in ([more, more], [more, more, less]):  # live workers may commit in between
        with pytest.raises(SumOverflow, match="more than 38 digits"):
            rows(model, happened)
