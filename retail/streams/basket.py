"""The rules of a basket: when it may be opened, filled, paid or given up."""

from decimal import Decimal

import msgspec

from refold.retail.schemas.basket import (
    BASKET,
    BasketAbandoned,
    BasketOpened,
    BasketPaid,
    ItemScanned,
    OpenBasket,
    PayBasket,
    ScanItem,
    VoidBasket,
)
from refold.streams import Decider, Decision, Rejected


class Basket(msgspec.Struct, frozen=True):
    """The state that the rules need."""

    status: str = "none"
    store_id: int = 0
    lines: int = 0
    total: Decimal = Decimal("0.00")


BasketCommand = OpenBasket | ScanItem | PayBasket | VoidBasket
BasketEvent = BasketOpened | ItemScanned | BasketPaid | BasketAbandoned


def decide_basket(command: BasketCommand, basket: Basket) -> Decision:
    """A basket is opened once, takes lines of at least one unit while open, and is paid only if it has a line."""
    if isinstance(command, OpenBasket):
        return _open(command, basket)
    if basket.status != "open":
        return Rejected(
            "basket-not-open", "there is no such basket" if basket.status == "none" else f"it is {basket.status}"
        )
    match command:
        case ScanItem():
            return _scan(command, basket)
        case PayBasket():
            return _pay(basket)
        case VoidBasket():
            return BasketAbandoned(store_id=basket.store_id, cause=command.cause, note=command.reason)


def _open(command: OpenBasket, basket: Basket) -> Decision:
    if basket.status != "none":
        return Rejected("basket-exists", f"the basket is {basket.status} already")
    return BasketOpened(store_id=command.store_id, household_id=command.household_id)


def _pay(basket: Basket) -> Decision:
    if basket.lines == 0:
        return Rejected("basket-empty", "a basket without a line cannot be paid")
    return BasketPaid(store_id=basket.store_id, lines=basket.lines, total=basket.total)


def _scan(command: ScanItem, basket: Basket) -> Decision:
    if command.quantity < 1:
        return Rejected("quantity-below-one", f"a line of {command.quantity} units is no sale")
    return ItemScanned(
        store_id=basket.store_id,
        product_id=command.product_id,
        quantity=command.quantity,
        amount=command.amount,
        discount=command.discount,
    )


def evolve_basket(basket: Basket, event: BasketEvent) -> Basket:
    """Fold one event into the basket."""
    match event:
        case BasketOpened():
            return Basket(status="open", store_id=event.store_id)
        case ItemScanned():
            return Basket("open", basket.store_id, basket.lines + 1, basket.total + event.amount)
        case BasketPaid():
            return Basket("paid", basket.store_id, basket.lines, basket.total)
        case BasketAbandoned():
            return Basket("voided", basket.store_id, basket.lines, basket.total)


BASKET_DECIDER = Decider(BASKET, Basket(), decide_basket, evolve_basket)
