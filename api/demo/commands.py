"""Receipts as commands: a product is listed before its first sale; a basket is opened, its lines scanned, then paid.

Ids are UUIDv5 of the command's subject, so sending the same receipts again retries every command, without effect.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import groupby
from typing import NamedTuple
from uuid import UUID, uuid5

import polars as pl

from refold.api.demo.receipts import Receipts
from refold.retail.schemas.basket import OpenBasket, PayBasket, ScanItem
from refold.retail.schemas.product import ListProduct
from refold.schemas.arithmetic import EXACT
from refold.schemas.contracts import Command

NAMESPACE = UUID("0b2a51d4-3f0f-5c6e-8a39-6f2f8a7c9e01")
UNKNOWN = "UNKNOWN"  # the category or type of a few products that have none


class Wish(NamedTuple):
    """A command with its id and the time of its receipt."""

    command: Command
    command_id: UUID
    occurred_at: datetime


class Size(NamedTuple):
    """Number of commands of each kind."""

    commands: int
    lines: int
    baskets: int
    products: int


def commands(receipts: Receipts, weeks: int) -> Iterator[Wish]:
    """Every command of the first weeks, in the order of the receipts."""
    listed = pl.Series("product_id", [], dtype=pl.Int64)
    for number in range(1, weeks + 1):
        week = receipts.week(number)
        new = _first_sales(week, listed)
        yield from _listings(new.join(receipts.products.collect(), on="product_id", maintain_order="left"))
        yield from _baskets(week)
        listed = listed.append(new["product_id"])


def size(receipts: Receipts, weeks: int) -> Size:
    """How many commands the first weeks contain."""
    lines = receipts.first(weeks)
    known = lines.select("product_id").unique().join(receipts.products, on="product_id", how="semi")
    counts = lines.select(pl.len(), pl.col("basket_id").n_unique()).collect()
    scans, baskets = counts.row(0)
    products = known.select(pl.len()).collect().item()
    return Size(scans + 2 * baskets + products, scans, baskets, products)


def _first_sales(week: pl.DataFrame, listed: pl.Series) -> pl.DataFrame:
    sold = week.select("product_id", "at").unique("product_id", keep="first", maintain_order=True)
    return sold.filter(~pl.col("product_id").is_in(listed.implode()))


def _listings(sold: pl.DataFrame) -> Iterator[Wish]:
    """List sold products. One that the table of products lacks is not listed; its lines are sent all the same."""
    for row in sold.iter_rows(named=True):
        name = str(row["product_id"])
        command = ListProduct(
            product_id=name,
            department=row["department"],
            brand=row["brand"],
            category=row["product_category"] or UNKNOWN,
            type=row["product_type"] or UNKNOWN,
            package_size=row["package_size"],
        )
        yield Wish(command, uuid5(NAMESPACE, f"product/{name}"), row["at"])


def _baskets(week: pl.DataFrame) -> Iterator[Wish]:
    """The commands of a week's baskets. The lines of a basket are consecutive, and bear its receipt's time."""
    for number, lines in groupby(week.iter_rows(), key=lambda line: line[0]):
        basket, name = str(number), f"basket/{number}"
        for place, (_, store, household, product, quantity, amount, discount, at) in enumerate(lines):
            if place == 0:
                opening = OpenBasket(basket_id=basket, store_id=store, household_id=str(household))
                yield Wish(opening, uuid5(NAMESPACE, f"{name}/open"), at)
            scan = ScanItem(
                basket_id=basket, product_id=product, quantity=quantity, amount=money(amount), discount=money(discount)
            )
            yield Wish(scan, uuid5(NAMESPACE, f"{name}/line/{place}"), at)
        yield Wish(PayBasket(basket_id=basket), uuid5(NAMESPACE, f"{name}/pay"), at)


@cache
def money(cents: int) -> Decimal:
    """Cents as dollars. The year has only some thousand different amounts."""
    return EXACT.scaleb(Decimal(cents), -2)
