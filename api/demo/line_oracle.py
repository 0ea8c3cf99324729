"""The expected rows of `basket_lines` and of the views over it, computed from the Parquet by Polars alone, under the rules in docs/demo.md.

Frames have the columns of their model by the same names; money is whole cents.
"""

import polars as pl

from refold.api.demo.receipts import Receipts

_SUMS = ("quantity", "revenue", "discount")


def expected_lines(receipts: Receipts, weeks: int) -> pl.DataFrame:
    """The accepted lines of the first weeks. The first of a basket is its second event, since another one opened it."""
    accepted = receipts.first(weeks).filter(pl.col("quantity") >= 1)
    return accepted.select(
        pl.col("basket_id").cast(pl.String),
        (pl.int_range(pl.len(), dtype=pl.Int64).over("basket_id") + 2).alias("line"),
        *("store_id", "product_id", "quantity"),
        pl.col("amount_cents").alias("amount"),
        pl.col("discount_cents").alias("discount"),
        pl.col("at").alias("scanned_at"),
    ).collect()


def expected_products(receipts: Receipts, lines: pl.DataFrame) -> pl.DataFrame:
    """The lines by week, store and product; a week begins on Sunday (UTC)."""
    day = pl.col("scanned_at").dt.date()
    week = day - pl.duration(days=day.dt.weekday() % 7)
    departments = receipts.products.select("product_id", "department").collect()
    sums = (
        lines.rename({"amount": "revenue"})
        .group_by(week.alias("week"), "store_id", "product_id")
        .agg(pl.len().cast(pl.Int64).alias("lines"), *(pl.col(name).sum() for name in _SUMS))
    )
    return sums.join(departments, on="product_id", how="left")


def expected_departments(products: pl.DataFrame) -> pl.DataFrame:
    """The rows of products by week, store and department."""
    return products.group_by("week", "store_id", "department").agg(
        pl.len().cast(pl.Int64).alias("products"), *(pl.col(name).sum() for name in ("lines", *_SUMS))
    )
