"""A product: listed once, with where it stands in the range."""

from typing import Annotated

from msgspec import Meta

from refold.schemas.contracts import Category, Command, Event

ProductId = Annotated[str, Meta(description="Number of the product; the stream's id.", pattern="^[0-9]{1,18}$")]
Department = Annotated[str, Meta(description="Department of the store.", max_length=200)]
Brand = Annotated[str, Meta(description="National or private.", max_length=200)]
ProductCategory = Annotated[str, Meta(description="Category within the department.", max_length=200)]
ProductType = Annotated[str, Meta(description="Type within the category.", max_length=200)]
PackageSize = Annotated[str | None, Meta(description="What the package says, where known.")]


class ListProduct(Command):
    """Take a product into the range."""

    stream_field = "product_id"
    product_id: ProductId
    department: Department
    brand: Brand
    category: ProductCategory
    type: ProductType
    package_size: PackageSize = None


class ProductListed(Event):
    """A product entered the range."""

    product_id: Annotated[int, Meta(description="Number of the product.", ge=0, le=2**63 - 1)]
    department: Department
    brand: Brand
    category: ProductCategory
    type: ProductType
    package_size: PackageSize = None


PRODUCT = Category("retail.product", commands=(ListProduct,), events=(ProductListed,))
