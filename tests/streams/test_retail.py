"""The rules of retail by given/when/then; every history is folded twice, piecewise and whole."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from refold.schemas.contracts import Command, Event
from refold.schemas.retail.basket import (
    BasketOpened,
    BasketPaid,
    BasketVoided,
    ItemScanned,
    OpenBasket,
    PayBasket,
    ScanItem,
    VoidBasket,
)
from refold.schemas.retail.product import ListProduct, ProductListed
from refold.streams.decider import Rejected
from refold.streams.domain import AnyDecider
from refold.streams.retail import DECIDERS

BASKETS, PRODUCTS = DECIDERS
OPENED = BasketOpened(store_id=3, household_id="h")
SCAN = ScanItem(basket_id="b", product_id=7, quantity=2, amount=Decimal("2.50"), discount=Decimal("0.10"))
SCANNED = ItemScanned(store_id=3, product_id=7, quantity=2, amount=Decimal("2.50"), discount=Decimal("0.10"))
PAID = BasketPaid(store_id=3, lines=1, total=Decimal("2.50"))
VOIDED = BasketVoided(store_id=3, reason="left")
LIST = ListProduct(product_id="42", department="GROCERY", brand="National", category="SOUP", type="CAN")


def given_when(decider: AnyDecider, given: Sequence[Event], when: Command) -> object:
    """Decide after a history that was folded event by event and, to compare, through its stored form."""
    state = decider.fold(tuple(given))
    assert decider.fold(tuple(given[1:]), decider.fold(tuple(given[:1]))) == state
    stored = decider.load(decider.dump(state))
    assert stored == state
    return decider.decide(when, stored)


@pytest.mark.parametrize(
    ("given", "when", "then"),
    [
        ([], OpenBasket(basket_id="b", store_id=3, household_id="h"), OPENED),
        ([OPENED], OpenBasket(basket_id="b", store_id=3), "basket-exists"),
        ([], SCAN, "basket-not-open"),
        ([OPENED], SCAN, SCANNED),
        ([OPENED, SCANNED], ScanItem(basket_id="b", product_id=7, quantity=0, amount=Decimal("1.00"), discount=Decimal("0.00")), "quantity-below-one"),
        ([OPENED], PayBasket(basket_id="b"), "basket-empty"),
        ([OPENED, SCANNED], PayBasket(basket_id="b"), PAID),
        ([OPENED, SCANNED, PAID], PayBasket(basket_id="b"), "basket-not-open"),
        ([OPENED, SCANNED, PAID], SCAN, "basket-not-open"),
        ([OPENED], VoidBasket(basket_id="b", reason="left"), VOIDED),
        ([OPENED, VOIDED], SCAN, "basket-not-open"),
        ([OPENED, VOIDED], OpenBasket(basket_id="b", store_id=3), "basket-exists"),
    ],
)  # fmt: skip
def test_basket(given: list[Event], when: Command, then: Event | str) -> None:
    """Opened once, filled while open, paid with a line."""
    decision = given_when(BASKETS, given, when)
    assert (decision.code if isinstance(decision, Rejected) else decision) == then


def test_product_is_listed_once() -> None:
    """The second listing is refused."""
    listed = given_when(PRODUCTS, [], LIST)
    assert isinstance(listed, ProductListed)
    assert listed.product_id == 42
    again = given_when(PRODUCTS, [listed], LIST)
    assert isinstance(again, Rejected)
    assert again.code == "product-exists"
