"""Receipts under the rules of docs/demo.md: the baskets and their accepted lines, as Polars reads them from the Parquet files."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from refold.api.demo.receipts import Receipts


@dataclass(frozen=True)
class Basket:
    """A basket of the receipts with its accepted lines; money in cents."""

    id: str
    store: int
    household: str
    at: datetime
    lines: int
    total: int
    discount: int

    @property
    def week(self) -> date:
        return sunday(self.at.date())


@dataclass(frozen=True)
class Line:
    """An accepted line."""

    basket: str
    store: int
    product: int
    quantity: int
    at: datetime
    amount: int

    @property
    def week(self) -> date:
        return sunday(self.at.date())


def sunday(day: date) -> date:
    """The first day of its week."""
    return day - timedelta(days=day.isoweekday() % 7)


class Receipted:
    """Some weeks of receipts as the rules of docs/demo.md take them."""

    def __init__(self, receipts: Receipts, weeks: int, points: Mapping[str, int]) -> None:
        sent = receipts.first(weeks).collect().with_columns((pl.col("quantity") >= 1).alias("ok"))
        grouped = sent.group_by("basket_id", "store_id", "household_id", maintain_order=True).agg(
            pl.col("at").first(),
            pl.col("ok").sum().alias("lines"),
            pl.col("amount_cents").filter("ok").sum(),
            pl.col("discount_cents").filter("ok").sum(),
        )
        self.baskets = [
            Basket(str(basket), store, str(household), at, lines, total, discount)
            for basket, store, household, at, lines, total, discount in grouped.iter_rows()
        ]
        self.paid = [basket for basket in self.baskets if basket.lines]
        accepted = sent.filter("ok").select("basket_id", "store_id", "product_id", "quantity", "at", "amount_cents")
        self.lines = [Line(str(basket), *rest) for basket, *rest in accepted.iter_rows()]
        self.refused = Counter(sent.filter(~pl.col("ok"))["store_id"].to_list())
        self.points = points
        known = receipts.products.filter(pl.col("product_id").is_in(sent["product_id"].unique().implode())).collect()
        self.departments = dict(known.select("product_id", "department").iter_rows())

    def revenue(self, key: Callable[[Line], Any], of: Callable[[Line], bool] = lambda _: True) -> dict[Any, int]:
        """Cents by a key, sorted by it."""
        found: Counter[Any] = Counter()
        for line in self.lines:
            if of(line):
                found[key(line)] += line.amount
        return dict(sorted(found.items()))

    def by_department(self) -> dict[str | None, tuple[int, int]]:
        """Products that were listed or sold, and cents; null comes last."""
        products, cents = defaultdict[str | None, set[int]](set), Counter[str | None]()
        for product, department in self.departments.items():
            products[department].add(product)
        for line in self.lines:
            department = self.departments.get(line.product)
            products[department].add(line.product)
            cents[department] += line.amount
        names = sorted(products, key=lambda name: (name is None, name or ""))
        return {name: (len(products[name]), cents[name]) for name in names}

    def weeks_of_households(self) -> dict[str, set[date]]:
        found = defaultdict[str, set[date]](set)
        for basket in self.paid:
            found[basket.household].add(basket.week)
        return found
