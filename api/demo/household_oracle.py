"""The expected rows of `households`, computed from the Parquet by Polars alone, under the rules in docs/demo.md.

A campaign is joined once; a coupon of a campaign is redeemed once; a paid basket earns one point for each whole dollar
of its total, and less than a dollar earns nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from refold.api.demo.loyalty import Loyalty
from refold.api.demo.receipts import Receipts

ROW = (
    "campaigns", "last_campaign_id", "coupons", "last_redeemed_at",
    "baskets", "points", "largest_award", "last_basket_at",
)  # fmt: skip
Row = tuple[int | datetime | None, ...]
_COUNTS = ("campaigns", "coupons", "baskets", "points")


@dataclass(frozen=True)
class ExpectedHouseholds:
    """The expected result of the first weeks: a row for each household, and the outcomes of its commands."""

    rows: Mapping[str, Row]
    commands: int
    rejections: Mapping[str, int]

    def only(self, households: set[str]) -> "ExpectedHouseholds":
        """The same with the rows of some households only."""
        return replace(self, rows={name: row for name, row in self.rows.items() if name in households})

    def total(self, name: str) -> int:
        """The sum of a count over all households."""
        return sum(int(str(row[ROW.index(name)])) for row in self.rows.values())


def expected_households(receipts: Receipts, loyalty: Loyalty, weeks: int) -> ExpectedHouseholds:
    """Apply the rules to the first weeks."""
    within = loyalty.until(receipts.end(weeks))
    redeemed = within.redemptions.unique(
        ["household_id", "campaign_id", "coupon_upc"], keep="first", maintain_order=True
    )
    parts = (
        within.enrolments.group_by("household_id").agg(
            pl.len().alias("campaigns"),
            pl.col("campaign_id").sort_by("at", "campaign_id").last().alias("last_campaign_id"),
        ),
        redeemed.group_by("household_id").agg(pl.len().alias("coupons"), pl.col("at").max().alias("last_redeemed_at")),
        _awards(receipts, weeks),
    )
    table = parts[0]
    for part in parts[1:]:
        table = table.join(part, on="household_id", how="full", coalesce=True)
    table = table.with_columns(pl.col(name).fill_null(0) for name in _COUNTS).select("household_id", *ROW)
    refused = within.redemptions.height - redeemed.height
    return ExpectedHouseholds(
        {household: tuple(row) for household, *row in table.iter_rows()},
        within.enrolments.height + within.redemptions.height,
        {"coupon-redeemed": refused} if refused else {},
    )


def _awards(receipts: Receipts, weeks: int) -> pl.DataFrame:
    """A basket's total is that of its accepted lines; it is paid if it has any."""
    accepted = receipts.first(weeks).filter(pl.col("quantity") >= 1)
    baskets = accepted.group_by("household_id", "basket_id").agg(
        (pl.col("amount_cents").sum() // 100).alias("points"), pl.col("at").max()
    )
    awarded = baskets.filter(pl.col("points") >= 1).group_by(pl.col("household_id").cast(pl.String))
    return awarded.agg(
        pl.len().alias("baskets"),
        pl.col("points").sum(),
        pl.col("points").max().alias("largest_award"),
        pl.col("at").max().alias("last_basket_at"),
    ).collect()
