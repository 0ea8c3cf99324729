"""A household of the loyalty card: it joins campaigns, redeems their coupons and collects points."""

from typing import Annotated

from msgspec import Meta

from refold.schemas import Category, Command, Event, Long

HouseholdId = Annotated[str, Meta(description="Number of the household; the stream's id.")]
CampaignId = Annotated[int, Meta(description="Number of the campaign.", ge=0, le=2**31 - 1)]
CouponUpc = Annotated[int, Meta(description="Bar code of the coupon.", ge=0, le=2**63 - 1)]
BasketId = Annotated[str, Meta(description="Number on the receipt that earned them.", max_length=200)]


class EnrolInCampaign(Command):
    """Let a household take part in a campaign."""

    stream_field = "household_id"
    household_id: HouseholdId
    campaign_id: CampaignId


class RedeemCoupon(Command):
    """Redeem a coupon of a campaign that the household takes part in."""

    stream_field = "household_id"
    household_id: HouseholdId
    campaign_id: CampaignId
    coupon_upc: CouponUpc


class AwardPoints(Command):
    """Give a household the points of a basket that it paid."""

    stream_field = "household_id"
    household_id: HouseholdId
    basket_id: BasketId
    points: Annotated[Long, Meta(description="Points; below 1 the domain refuses.")]


class CampaignJoined(Event):
    """The household takes part in a campaign."""

    campaign_id: CampaignId


class CouponRedeemed(Event):
    """A coupon of a campaign was redeemed."""

    campaign_id: CampaignId
    coupon_upc: CouponUpc


class PointsAwarded(Event):
    """A basket earned points."""

    basket_id: BasketId
    points: Annotated[int, Meta(description="Points, at least 1.", ge=1, le=2**63 - 1)]


HOUSEHOLD = Category(
    "retail.household",
    commands=(EnrolInCampaign, RedeemCoupon, AwardPoints),
    events=(CampaignJoined, CouponRedeemed, PointsAwarded),
)
