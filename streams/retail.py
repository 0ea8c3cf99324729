"""The rules of the reference domain: when a basket may be opened, filled, paid or given up, and a product listed.

Those of the loyalty card are in `retail_household`.
"""

from decimal import Decimal

import msgspec

from refold.schemas.contracts import Event
from refold.schemas.retail.basket import (
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
from refold.schemas.retail.product import (
    PRODUCT,
    DelistProduct,
    ListProduct,
    ProductDelisted,
    ProductListed,
    ProductRebranded,
    ProductRepacked,
    RelabelProduct,
)
from refold.streams.decider import Decider, Decision, Rejected
from refold.streams.retail_household import HOUSEHOLD_DECIDER


class Basket(msgspec.Struct, frozen=True):
    """What the rules need to know of a basket."""

    status: str = "none"
    store_id: int = 0
    lines: int = 0
    total: Decimal = Decimal("0.00")


BasketCommand = OpenBasket | ScanItem | PayBasket | VoidBasket
BasketEvent = BasketOpened | ItemScanned | BasketPaid | BasketAbandoned


def decide_basket(command: BasketCommand, basket: Basket) -> Decision:
    """A basket is opened once, takes lines of at least one unit while open, and is paid only with a line in it."""
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


class Product(msgspec.Struct, frozen=True):
    """Whether a product is in the range, and what its label reads."""

    listed: bool = False
    brand: str = ""
    package_size: str | None = None


ProductCommand = ListProduct | RelabelProduct | DelistProduct
ProductEvent = ProductListed | ProductRebranded | ProductRepacked | ProductDelisted


def decide_product(command: ProductCommand, product: Product) -> Decision:
    """A product is listed while it is not in the range, and relabelled or delisted while it is."""
    if isinstance(command, ListProduct):
        return _list(command, product)
    if not product.listed:
        return Rejected("product-not-listed", "the product is not in the range")
    match command:
        case RelabelProduct():
            return _relabel(command, product)
        case DelistProduct():
            return ProductDelisted(product_id=int(command.product_id), reason=command.reason)


def _list(command: ListProduct, product: Product) -> Decision:
    if product.listed:
        return Rejected("product-exists", "the product is listed already")
    return ProductListed(
        product_id=int(command.product_id),
        department=command.department,
        brand=command.brand,
        category=command.category,
        type=command.type,
        package_size=command.package_size,
        manufacturer=command.manufacturer,
    )


def _relabel(command: RelabelProduct, product: Product) -> Decision:
    """An event for each part of the label that is another."""
    number, changes = int(command.product_id), list[Event]()
    if command.brand != product.brand:
        changes.append(ProductRebranded(product_id=number, brand=command.brand))
    if command.package_size != product.package_size:
        changes.append(ProductRepacked(product_id=number, package_size=command.package_size))
    return tuple(changes) or Rejected("product-unchanged", "the label reads so already")


def evolve_product(product: Product, event: ProductEvent) -> Product:
    """Fold one event into the product."""
    match event:
        case ProductListed():
            return Product(listed=True, brand=event.brand, package_size=event.package_size)
        case ProductRebranded():
            return msgspec.structs.replace(product, brand=event.brand)
        case ProductRepacked():
            return msgspec.structs.replace(product, package_size=event.package_size)
        case ProductDelisted():
            return msgspec.structs.replace(product, listed=False)


DECIDERS = (
    Decider(BASKET, Basket(), decide_basket, evolve_basket),
    Decider(PRODUCT, Product(), decide_product, evolve_product),
    HOUSEHOLD_DECIDER,
)
