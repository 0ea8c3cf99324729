"""The expected rows of `campaigns` and `coupons`, computed from the Parquet by Polars alone, under the rules in docs/demo.md.

A campaign is joined once by a household, which redeems a coupon of it once.
"""

import polars as pl

from refold.api.demo.loyalty import Loyalty

_REDEEMED = (
    pl.len().cast(pl.Int64).alias("redeemed"),
    pl.col("at").min().alias("first_redeemed_at"),
    pl.col("at").max().alias("last_redeemed_at"),
)


def expected_campaigns(loyalty: Loyalty) -> pl.DataFrame:
    """A row for each campaign that a household joined."""
    households = loyalty.enrolments.group_by("campaign_id").agg(pl.len().cast(pl.Int64).alias("households"))
    redeemed = _once(loyalty).group_by("campaign_id").agg(_REDEEMED)
    return households.join(redeemed, on="campaign_id", how="left").with_columns(pl.col("redeemed").fill_null(0))


def expected_coupons(loyalty: Loyalty) -> pl.DataFrame:
    """A row for each campaign and coupon of it that was redeemed."""
    return _once(loyalty).group_by("campaign_id", "coupon_upc").agg(_REDEEMED)


def _once(loyalty: Loyalty) -> pl.DataFrame:
    """The redemptions that the rules accept."""
    return loyalty.redemptions.unique(["household_id", "campaign_id", "coupon_upc"], keep="first", maintain_order=True)
