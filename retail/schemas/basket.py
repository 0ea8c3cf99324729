"""A basket: opened at a till, filled line by line, paid or given up."""

from enum import Enum
from typing import Annotated

from msgspec import Meta

from refold.schemas import Category, Command, Event, Money, Whole


class Cause(Enum):
    """Why a basket was given up, as reports count it."""

    CUSTOMER_LEFT = "customer_left"
    PAYMENT_FAILED = "payment_failed"
    MISTAKE = "mistake"
    OTHER = "other"


BasketId = Annotated[str, Meta(description="Number on the receipt; the stream's id.")]
StoreId = Annotated[int, Meta(description="Number of the store.", ge=0, le=2**31 - 1)]
HouseholdId = Annotated[str | None, Meta(description="Household of the loyalty card, if one was shown.")]
ProductId = Annotated[int, Meta(description="Number of the product.", ge=0, le=2**63 - 1)]
Amount = Annotated[Money, Meta(description="What the line cost, after discounts.")]
Discount = Annotated[Money, Meta(description="What the discounts took off the line.")]
Reason = Annotated[str, Meta(description="Why, in the cashier's words.", max_length=200)]


class OpenBasket(Command):
    """Begin a basket at a till of a store."""

    stream_field = "basket_id"
    basket_id: BasketId
    store_id: StoreId
    household_id: HouseholdId = None


class ScanItem(Command):
    """Add a line to an open basket."""

    stream_field = "basket_id"
    basket_id: BasketId
    product_id: ProductId
    quantity: Annotated[Whole, Meta(description="Units scanned; below 1 the domain refuses.")]
    amount: Amount
    discount: Discount


class PayBasket(Command):
    """Pay for a basket that holds at least one line."""

    stream_field = "basket_id"
    basket_id: BasketId


class VoidBasket(Command):
    """Give up an open basket."""

    stream_field = "basket_id"
    basket_id: BasketId
    reason: Reason
    cause: Annotated[Cause, Meta(description="Why, as reports count it.")] = Cause.OTHER


class BasketOpened(Event):
    """A basket was begun at a till."""

    store_id: StoreId
    household_id: HouseholdId = None


class ItemScanned(Event):
    """A line was added; it names the basket's store, so that a rollup by store needs no join."""

    store_id: StoreId
    product_id: ProductId
    quantity: Annotated[int, Meta(description="Units scanned, at least 1.", ge=1, le=2**31 - 1)]
    amount: Amount
    discount: Discount


class BasketPaid(Event):
    """The basket was paid."""

    store_id: StoreId
    lines: Annotated[int, Meta(description="Lines in the basket.", ge=1, le=2**31 - 1)]
    total: Annotated[Money, Meta(description="What the customer paid.")]


class BasketAbandoned(Event):
    """The basket was given up before it was paid."""

    store_id: StoreId
    cause: Annotated[Cause, Meta(description="Why, as reports count it.")]
    note: Reason


class BasketVoided(Event):
    """The basket was given up before it was paid."""

    store_id: StoreId
    reason: Reason


def abandoned(old: BasketVoided) -> BasketAbandoned:
    """Causes once stood in the cashier's words alone; those that were used are told apart, the words kept."""
    words = {
        "left": Cause.CUSTOMER_LEFT,
        "gone": Cause.CUSTOMER_LEFT,
        "card": Cause.PAYMENT_FAILED,
        "money": Cause.PAYMENT_FAILED,
        "mistake": Cause.MISTAKE,
        "wrong": Cause.MISTAKE,
    }
    said = old.reason.lower()
    cause = next((cause for word, cause in words.items() if word in said), Cause.OTHER)
    return BasketAbandoned(store_id=old.store_id, cause=cause, note=old.reason)


BASKET = Category(
    "retail.basket",
    commands=(OpenBasket, ScanItem, PayBasket, VoidBasket),
    events=(BasketOpened, ItemScanned, BasketPaid, BasketAbandoned),
    upcasters=(abandoned,),
)
