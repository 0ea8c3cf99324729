"""The rules of the loyalty card: who may join a campaign, redeem a coupon or be given points."""

import msgspec

from refold.retail.schemas.household import (
    HOUSEHOLD,
    AwardPoints,
    CampaignJoined,
    CouponRedeemed,
    EnrolInCampaign,
    PointsAwarded,
    RedeemCoupon,
)
from refold.streams import Decider, Decision, Rejected


class Household(msgspec.Struct, frozen=True):
    """The state that the rules need. It has no points, since no rule asks for them."""

    campaigns: tuple[int, ...] = ()
    redeemed: tuple[tuple[int, int], ...] = ()


HouseholdCommand = EnrolInCampaign | RedeemCoupon | AwardPoints
HouseholdEvent = CampaignJoined | CouponRedeemed | PointsAwarded


def decide_household(command: HouseholdCommand, household: Household) -> Decision:
    """A campaign is joined once. A member redeems each of its coupons once. Points are at least one."""
    match command:
        case EnrolInCampaign(campaign_id=campaign):
            if campaign in household.campaigns:
                return Rejected("campaign-joined", f"the household takes part in campaign {campaign} already")
            return CampaignJoined(campaign_id=campaign)
        case RedeemCoupon():
            return _redeem(command, household)
        case AwardPoints():
            if command.points < 1:
                return Rejected("points-below-one", f"{command.points} points are no award")
            return PointsAwarded(basket_id=command.basket_id, points=command.points)


def _redeem(command: RedeemCoupon, household: Household) -> Decision:
    campaign, coupon = command.campaign_id, command.coupon_upc
    if campaign not in household.campaigns:
        return Rejected("campaign-not-joined", f"the household takes no part in campaign {campaign}")
    if (campaign, coupon) in household.redeemed:
        return Rejected("coupon-redeemed", f"coupon {coupon} of campaign {campaign} was redeemed already")
    return CouponRedeemed(campaign_id=campaign, coupon_upc=coupon)


def evolve_household(household: Household, event: HouseholdEvent) -> Household:
    """Fold one event into the household."""
    match event:
        case CampaignJoined(campaign_id=campaign):
            return Household((*household.campaigns, campaign), household.redeemed)
        case CouponRedeemed(campaign_id=campaign, coupon_upc=coupon):
            return Household(household.campaigns, (*household.redeemed, (campaign, coupon)))
        case PointsAwarded():
            return household


HOUSEHOLD_DECIDER = Decider(HOUSEHOLD, Household(), decide_household, evolve_household)
