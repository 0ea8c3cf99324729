"""The rules of a product: when it may be listed, relabelled or delisted."""

import msgspec

from refold.retail.schemas.product import (
    PRODUCT,
    DelistProduct,
    ListProduct,
    ProductDelisted,
    ProductListed,
    ProductRebranded,
    ProductRepacked,
    RelabelProduct,
)
from refold.schemas import Event
from refold.streams import Decider, Decision, Rejected


class Product(msgspec.Struct, frozen=True):
    """Whether a product is in the range, and the text of its label."""

    listed: bool = False
    brand: str = ""
    package_size: str | None = None


ProductCommand = ListProduct | RelabelProduct | DelistProduct
ProductEvent = ProductListed | ProductRebranded | ProductRepacked | ProductDelisted


def decide_product(command: ProductCommand, product: Product) -> Decision:
    """A product is listed only while it is not in the range, and relabelled or delisted only while it is."""
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
    """An event for each part of the label that changes."""
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


PRODUCT_DECIDER = Decider(PRODUCT, Product(), decide_product, evolve_product)
