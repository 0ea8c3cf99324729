"""Receipts small enough to be counted by hand."""

# ruff: noqa: DTZ001 - the package has times without a zone

from datetime import datetime

import polars as pl

from refold.api.demo.receipts import Receipts, receipts_of

_COLUMNS = ("basket_id", "store_id", "household_id", "product_id", "quantity", "sales_value", "retail_disc")

# Basket 1: two lines, one refused. Basket 2: nothing but a refused line. Basket 3: the next day, another store. Basket 4: week 2.
LINES = [
    (1, 330, 7, 10, 2, 2.98, 0.30, datetime(2017, 1, 1, 11, 0)),
    (1, 330, 7, 11, 0, 0.00, 0.00, datetime(2017, 1, 1, 11, 0)),
    (2, 330, 8, 10, 0, 0.12, 0.00, datetime(2017, 1, 1, 23, 59, 59)),
    (3, 331, 8, 12, 1, 0.29, 0.00, datetime(2017, 1, 2, 0, 0)),
    (3, 331, 8, 10, 3, 84.10, 1.10, datetime(2017, 1, 2, 0, 0)),
    (4, 330, 9, 13, 1, 5.00, 0.00, datetime(2017, 1, 8, 0, 0)),
]
PRODUCTS = [
    (10, "GROCERY", "National", "BREAD", "RYE", "1 LB"),
    (11, "DELI", "Private", None, None, None),
    (13, "DELI", "Private", "A", "B", None),
]


def tiny() -> Receipts:
    """The receipts above; product 12 is sold but is not in the table of products."""
    rows = [dict(zip((*_COLUMNS, "transaction_timestamp"), line, strict=True)) for line in LINES]
    transactions = pl.DataFrame(rows).with_columns(
        pl.lit(0.05).alias("coupon_disc"),
        pl.lit(0.0).alias("coupon_match_disc"),
        pl.col("transaction_timestamp").cast(pl.Datetime("ns")),
    )
    names = ("product_id", "department", "brand", "product_category", "product_type", "package_size")
    products = pl.DataFrame([dict(zip(names, row, strict=True)) for row in PRODUCTS])
    return receipts_of(transactions.lazy(), products.lazy())
