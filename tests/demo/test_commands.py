"""Receipts become commands: order, ids, amounts, and what a product without an entry means."""

from datetime import UTC, datetime
from decimal import Decimal

from refold.api.demo.commands import Wish, commands, size
from refold.retail.schemas.basket import OpenBasket, PayBasket, ScanItem
from refold.retail.schemas.product import ListProduct
from tests.demo.tiny import tiny


def short(wish: Wish) -> str:
    match wish.command:
        case ListProduct(product_id=product):
            return f"list {product}"
        case ScanItem(basket_id=basket, product_id=product):
            return f"scan {basket} {product}"
        case OpenBasket(basket_id=basket):
            return f"open {basket}"
        case PayBasket(basket_id=basket):
            return f"pay {basket}"
    raise AssertionError(wish)


def test_each_basket_is_opened_scanned_and_paid_behind_the_products_new_in_its_week() -> None:
    assert [short(wish) for wish in commands(tiny(), 2)] == [
        *("list 10", "list 11"),
        *("open 1", "scan 1 10", "scan 1 11", "pay 1"),
        *("open 2", "scan 2 10", "pay 2"),
        *("open 3", "scan 3 12", "scan 3 10", "pay 3"),
        "list 13",
        *("open 4", "scan 4 13", "pay 4"),
    ]


def test_a_second_run_sends_the_same_ids_and_bodies() -> None:
    first, second = list(commands(tiny(), 2)), list(commands(tiny(), 2))
    assert first == second
    assert len({wish.command_id for wish in first}) == len(first)


def test_more_weeks_begin_with_fewer_weeks() -> None:
    shorter = list(commands(tiny(), 1))
    assert list(commands(tiny(), 2))[: len(shorter)] == shorter


def test_money_is_exact_and_times_are_utc() -> None:
    scan = next(wish for wish in commands(tiny(), 1) if isinstance(wish.command, ScanItem))
    assert scan.occurred_at == datetime(2017, 1, 1, 11, 0, tzinfo=UTC)
    assert isinstance(scan.command, ScanItem)
    assert (scan.command.amount, scan.command.discount) == (Decimal("2.98"), Decimal("0.35"))


def test_a_product_without_category_is_listed_as_unknown() -> None:
    listed = [wish.command for wish in commands(tiny(), 1) if isinstance(wish.command, ListProduct)]
    assert (listed[1].category, listed[1].type, listed[1].package_size) == ("UNKNOWN", "UNKNOWN", None)


def test_the_size_is_known_before_sending() -> None:
    for weeks in (1, 2):
        wishes = list(commands(tiny(), weeks))
        found = size(tiny(), weeks)
        assert found.commands == len(wishes)
        assert found.lines == sum(isinstance(wish.command, ScanItem) for wish in wishes)
        assert found.baskets == sum(isinstance(wish.command, PayBasket) for wish in wishes)
        assert found.products == sum(isinstance(wish.command, ListProduct) for wish in wishes)
