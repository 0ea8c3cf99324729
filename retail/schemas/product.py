"""A product: listed with its place in the range, relabelled, delisted."""

from enum import Enum
from typing import Annotated

from msgspec import Meta

from refold.schemas import Category, Command, Event


class DelistReason(Enum):
    """Why a product left the range."""

    DISCONTINUED = "discontinued"
    RECALLED = "recalled"
    SEASON_OVER = "season_over"


ProductId = Annotated[str, Meta(description="Number of the product; the stream's id.", pattern="^[0-9]{1,18}$")]
ProductNumber = Annotated[int, Meta(description="Number of the product.", ge=0, le=2**63 - 1)]
Department = Annotated[str, Meta(description="Department of the store.", max_length=200)]
Brand = Annotated[str, Meta(description="National or private.", max_length=200)]
ProductCategory = Annotated[str, Meta(description="Category within the department.", max_length=200)]
ProductType = Annotated[str, Meta(description="Type within the category.", max_length=200)]
PackageSize = Annotated[str | None, Meta(description="What the package says, where known.")]
Label = Annotated[str, Meta(description="What the package says.", max_length=200)]
Manufacturer = Annotated[int, Meta(description="Number of the manufacturer, where known.", ge=0, le=2**31 - 1)] | None
Why = Annotated[DelistReason, Meta(description="Why it left the range.")]


class ListProduct(Command):
    """Take a product into the range."""

    stream_field = "product_id"
    product_id: ProductId
    department: Department
    brand: Brand
    category: ProductCategory
    type: ProductType
    package_size: PackageSize = None
    manufacturer: Manufacturer = None


class RelabelProduct(Command):
    """Say what a product's label reads from now on."""

    stream_field = "product_id"
    product_id: ProductId
    brand: Brand
    package_size: Label


class DelistProduct(Command):
    """Take a product out of the range; it may be listed again."""

    stream_field = "product_id"
    product_id: ProductId
    reason: Why


class ProductListed(Event):
    """A product entered the range."""

    product_id: ProductNumber
    department: Department
    brand: Brand
    category: ProductCategory
    type: ProductType
    package_size: PackageSize = None
    manufacturer: Manufacturer = None


class ProductRebranded(Event):
    """A product is sold under another brand."""

    product_id: ProductNumber
    brand: Brand


class ProductRepacked(Event):
    """A product comes in another package."""

    product_id: ProductNumber
    package_size: Label


class ProductDelisted(Event):
    """A product left the range."""

    product_id: ProductNumber
    reason: Why


class ProductRelabelled(Event):
    """A product's label changed: its brand, its package, or both."""

    product_id: ProductNumber
    brand: Brand
    package_size: Label


def relabelled(old: ProductRelabelled) -> tuple[ProductRebranded, ProductRepacked]:
    """It once said the whole label whatever had changed of it; both parts are said again, and mean the same."""
    return (
        ProductRebranded(product_id=old.product_id, brand=old.brand),
        ProductRepacked(product_id=old.product_id, package_size=old.package_size),
    )


PRODUCT = Category(
    "retail.product",
    commands=(ListProduct, RelabelProduct, DelistProduct),
    events=(ProductListed, ProductRebranded, ProductRepacked, ProductDelisted),
    upcasters=(relabelled,),
)
