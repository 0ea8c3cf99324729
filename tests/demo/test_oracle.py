"""The oracle, counted by hand; and the rules of the domain agree with it."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal

from refold.api.demo.commands import commands
from refold.api.demo.oracle import a_basket, expected
from refold.retail.schemas.basket import ItemScanned
from refold.streams.decider import Rejected
from refold.streams.domain import load_domains
from tests.demo.tiny import tiny


def test_rows_and_rejections_of_the_first_week() -> None:
    found = expected(tiny(), 1)
    assert found.store_daily == {
        (330, date(2017, 1, 1)): (1, 2, Decimal("2.98"), Decimal("0.35"), 2, 1, Decimal("2.98"), Decimal("2.98")),
        (331, date(2017, 1, 2)): (2, 4, Decimal("84.39"), Decimal("1.20"), 1, 1, Decimal("84.39"), Decimal("84.39")),
    }
    assert found.rejections == {"quantity-below-one": 2, "basket-empty": 1}
    assert sorted(found.refusals.values()) == [1, 2]


def test_a_day_without_a_paid_basket_has_no_largest_one() -> None:
    receipts = tiny()
    only = receipts.lines.filter(receipts.lines.collect()["basket_id"] == 2)
    row = expected(type(receipts)(only, receipts.products, receipts.first_day, receipts.last_at), 1).store_daily
    assert row == {(330, date(2017, 1, 1)): (0, 0, Decimal(0), Decimal(0), 1, 0, Decimal(0), None)}


def test_weeks_end_at_midnight() -> None:
    receipts = tiny()
    assert receipts.weeks == 2
    assert receipts.end(1) == datetime(2017, 1, 8, tzinfo=UTC)
    assert receipts.week(2)["basket_id"].to_list() == [4]


def test_the_basket_to_show_has_a_refused_line_where_there_is_one() -> None:
    assert a_basket(tiny()) == 1


def test_the_rules_of_the_domain_come_to_the_same() -> None:
    deciders = load_domains(["retail"]).deciders
    states: dict[tuple[str, str], object] = {}
    rejections: Counter[str] = Counter()
    revenue: dict[int, Decimal] = defaultdict(Decimal)
    for wish in commands(tiny(), 2):
        category = "retail.product" if type(wish.command).__name__ == "ListProduct" else "retail.basket"
        decider = deciders[category]
        key = category, decider.category.stream_of(wish.command)
        state = states.get(key, decider.initial)
        decision = decider.decide(wish.command, state)
        if isinstance(decision, Rejected):
            rejections[decision.code] += 1
            continue
        states[key] = decider.evolve(state, decision)
        if isinstance(decision, ItemScanned):
            revenue[decision.store_id] += decision.amount
    wanted = expected(tiny(), 2)
    assert dict(rejections) == wanted.rejections
    assert {code: sum(n for (_, of, _), n in wanted.refusals.items() if of == code) for code in rejections} == dict(
        rejections
    )
    for store in (330, 331):
        assert revenue[store] == sum(row[2] for (at, _), row in wanted.store_daily.items() if at == store)  # type: ignore[misc]  # sum of decimals begins with an int
