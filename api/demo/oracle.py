"""The expected result, computed from the Parquet by Polars alone, under the rules in docs/demo.md.

A line of less than one unit is rejected; a basket without another line cannot be paid; everything else is accepted.
Money counts by accepted line, at its store, on the day (UTC) of its receipt.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from refold.api.demo.commands import Size, money, size
from refold.api.demo.receipts import Receipts

Key = tuple[int, date]
ROW = ("lines", "quantity", "revenue", "discount", "baskets_opened", "baskets_paid", "paid", "largest_basket")
Row = tuple[int | Decimal | None, ...]
Refusal = tuple[str, str, date]
"""The name of a command, the code of its rejection, and the day."""
_MONEY = ("revenue", "discount", "paid", "largest_basket")


@dataclass(frozen=True)
class Expected:
    """The expected result of the first weeks of receipts."""

    size: Size
    store_daily: dict[Key, Row]
    rejections: dict[str, int]
    refusals: dict[Refusal, int]

    @property
    def rejected(self) -> int:
        """Number of commands that the rules refuse."""
        return sum(self.rejections.values())


def expected(receipts: Receipts, weeks: int) -> Expected:
    """Apply the rules to the first weeks."""
    found = size(receipts, weeks)
    lines = receipts.first(weeks).with_columns(
        (pl.col("quantity") >= 1).alias("ok"), pl.col("at").dt.date().alias("day")
    )
    baskets = lines.group_by("store_id", "day", "basket_id").agg(
        pl.col("ok").sum().alias("lines"),
        (~pl.col("ok")).sum().alias("refused"),
        pl.col("quantity").filter("ok").sum().alias("quantity"),
        pl.col("amount_cents").filter("ok").sum().alias("revenue"),
        pl.col("discount_cents").filter("ok").sum().alias("discount"),
    )
    days = baskets.group_by("store_id", "day").agg(
        *(pl.col(name).sum() for name in ROW[:4]),
        pl.len().alias("baskets_opened"),
        (pl.col("lines") > 0).sum().alias("baskets_paid"),
        (pl.col("lines") == 0).sum().alias("empty"),
        pl.col("refused").sum(),
        pl.col("revenue").filter(pl.col("lines") > 0).sum().alias("paid"),
        pl.col("revenue").filter(pl.col("lines") > 0).max().alias("largest_basket"),
    )
    table = days.collect()
    rows = {(row["store_id"], row["day"]): _row(row) for row in table.iter_rows(named=True)}
    rejections = {
        "quantity-below-one": found.lines - int(table["lines"].sum()),
        "basket-empty": found.baskets - int(table["baskets_paid"].sum()),
    }
    return Expected(found, rows, {code: count for code, count in rejections.items() if count}, _refusals(table))


def _refusals(days: pl.DataFrame) -> dict[Refusal, int]:
    """The rejected commands of each day, by command and reason."""
    of_day = days.group_by("day").agg(pl.col("refused", "empty").sum())
    counted = {
        (command, code, row["day"]): int(row[name])
        for row in of_day.iter_rows(named=True)
        for name, command, code in (
            ("refused", "ScanItem", "quantity-below-one"),
            ("empty", "PayBasket", "basket-empty"),
        )
    }
    return {refusal: number for refusal, number in counted.items() if number}


def a_basket(receipts: Receipts) -> int:
    """A basket worth showing: a few lines, one of them rejected if the first week has such a basket."""
    lines = pl.len()
    found = (
        receipts.first(1)
        .group_by("basket_id", maintain_order=True)
        .agg(lines.alias("lines"), (pl.col("quantity") < 1).any().alias("refused"))
        .sort(~pl.col("lines").is_between(4, 8), ~pl.col("refused"), maintain_order=True)
    )
    return int(found.select("basket_id").first().collect().item())


def _row(row: dict[str, Any]) -> Row:
    return tuple(money(row[name]) if name in _MONEY and row[name] is not None else row[name] for name in ROW)
