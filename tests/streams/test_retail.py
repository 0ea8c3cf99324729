"""Tests the rules of retail by given/when/then; every history is folded twice, piecewise and whole."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from refold.retail.schemas.basket import (
    BASKET,
    BasketAbandoned,
    BasketOpened,
    BasketPaid,
    BasketVoided,
    Cause,
    ItemScanned,
    OpenBasket,
    PayBasket,
    ScanItem,
    VoidBasket,
)
from refold.retail.schemas.product import (
    PRODUCT,
    DelistProduct,
    DelistReason,
    ListProduct,
    ProductDelisted,
    ProductListed,
    ProductRebranded,
    ProductRelabelled,
    ProductRepacked,
    RelabelProduct,
)
from refold.retail.streams import DECIDERS
from refold.schemas.contracts import Category, Command, Event
from refold.schemas.upcast import upcasts_of
from refold.streams.decider import Rejected
from refold.streams.domain import AnyDecider

BASKETS, PRODUCTS, HOUSEHOLDS = DECIDERS
OPENED = BasketOpened(store_id=3, household_id="h")
SCAN = ScanItem(basket_id="b", product_id=7, quantity=2, amount=Decimal("2.50"), discount=Decimal("0.10"))
SCANNED = ItemScanned(store_id=3, product_id=7, quantity=2, amount=Decimal("2.50"), discount=Decimal("0.10"))
PAID = BasketPaid(store_id=3, lines=1, total=Decimal("2.50"))
GIVEN_UP = BasketAbandoned(store_id=3, cause=Cause.CUSTOMER_LEFT, note="left")
VOIDED = BasketVoided(store_id=3, reason="left the shop")
LIST = ListProduct(product_id="42", department="GROCERY", brand="National", category="SOUP", type="CAN")


def given_when(decider: AnyDecider, given: Sequence[Event], when: Command) -> object:
    """Decide after a history, as it is read today, that was folded event by event and, to compare, through its stored form."""
    given = [today for event in given for today in upcasts_of(decider.category).todays(event)]
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
        ([OPENED], VoidBasket(basket_id="b", reason="left", cause=Cause.CUSTOMER_LEFT), GIVEN_UP),
        ([OPENED], VoidBasket(basket_id="b", reason="left"), BasketAbandoned(store_id=3, cause=Cause.OTHER, note="left")),
        ([OPENED, GIVEN_UP], SCAN, "basket-not-open"),
        ([OPENED, GIVEN_UP], OpenBasket(basket_id="b", store_id=3), "basket-exists"),
        ([OPENED, VOIDED], SCAN, "basket-not-open"),
        ([OPENED, VOIDED], OpenBasket(basket_id="b", store_id=3), "basket-exists"),
    ],
)  # fmt: skip
def test_basket(given: list[Event], when: Command, then: Event | str) -> None:
    """Opened once, filled while open, paid with a line."""
    decision = given_when(BASKETS, given, when)
    assert (decision.code if isinstance(decision, Rejected) else decision) == then


LISTED = ProductListed(product_id=42, department="GROCERY", brand="National", category="SOUP", type="CAN")
RELABELLED = ProductRelabelled(product_id=42, brand="Private", package_size="330 G")
DELISTED = ProductDelisted(product_id=42, reason=DelistReason.RECALLED)
REBRANDED = ProductRebranded(product_id=42, brand="Private")
REPACKED = ProductRepacked(product_id=42, package_size="330 G")
RELABEL = RelabelProduct(product_id="42", brand="Private", package_size="330 G")
DELIST = DelistProduct(product_id="42", reason=DelistReason.RECALLED)


@pytest.mark.parametrize(
    ("given", "when", "then"),
    [
        ([], LIST, LISTED),
        ([LISTED], LIST, "product-exists"),
        ([], RELABEL, "product-not-listed"),
        ([], DELIST, "product-not-listed"),
        ([LISTED], RELABEL, (REBRANDED, REPACKED)),
        ([LISTED, REBRANDED], RELABEL, (REPACKED,)),
        ([LISTED, REBRANDED, REPACKED], RELABEL, "product-unchanged"),
        ([LISTED, RELABELLED], RELABEL, "product-unchanged"),
        ([LISTED], DELIST, DELISTED),
        ([LISTED, DELISTED], DELIST, "product-not-listed"),
        ([LISTED, DELISTED], LIST, LISTED),
    ],
)
def test_product(given: list[Event], when: Command, then: Event | tuple[Event, ...] | str) -> None:
    """Listed while it is not in the range; relabelled and delisted while it is."""
    decision = given_when(PRODUCTS, given, when)
    assert (decision.code if isinstance(decision, Rejected) else decision) == then


@pytest.mark.parametrize(
    ("category", "given", "then"),
    [
        (BASKET, VOIDED, [BasketAbandoned(store_id=3, cause=Cause.CUSTOMER_LEFT, note="left the shop")]),
        (BASKET, BasketVoided(store_id=3, reason="No MONEY"), [BasketAbandoned(store_id=3, cause=Cause.PAYMENT_FAILED, note="No MONEY")]),
        (BASKET, BasketVoided(store_id=3, reason="wrong till"), [BasketAbandoned(store_id=3, cause=Cause.MISTAKE, note="wrong till")]),
        (BASKET, BasketVoided(store_id=3, reason=""), [BasketAbandoned(store_id=3, cause=Cause.OTHER, note="")]),
        (PRODUCT, RELABELLED, [REBRANDED, REPACKED]),
        (BASKET, OPENED, [OPENED]),
        (PRODUCT, LISTED, [LISTED]),
    ],
)  # fmt: skip
def test_retired_events_are_read_as_those_of_today(category: Category, given: Event, then: list[Event]) -> None:
    """What stands in the log, and what readers see of it."""
    assert list(upcasts_of(category).todays(given)) == then
