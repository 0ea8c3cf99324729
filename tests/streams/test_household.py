"""Tests the rules of the loyalty card by given/when/then; every history is folded twice, piecewise and whole."""

import pytest

from refold.retail.schemas.household import (
    AwardPoints,
    CampaignJoined,
    CouponRedeemed,
    EnrolInCampaign,
    PointsAwarded,
    RedeemCoupon,
)
from refold.retail.streams.household import HOUSEHOLD_DECIDER
from refold.schemas.contracts import Command, Event
from refold.streams.decider import Rejected
from tests.streams.test_retail import given_when

ENROL = EnrolInCampaign(household_id="h", campaign_id=13)
JOINED = CampaignJoined(campaign_id=13)
REDEEM = RedeemCoupon(household_id="h", campaign_id=13, coupon_upc=51)
REDEEMED = CouponRedeemed(campaign_id=13, coupon_upc=51)
AWARDED = PointsAwarded(basket_id="b", points=7)


def award(points: int) -> AwardPoints:
    return AwardPoints(household_id="h", basket_id="b", points=points)


@pytest.mark.parametrize(
    ("given", "when", "then"),
    [
        ([], ENROL, JOINED),
        ([JOINED], ENROL, "campaign-joined"),
        ([CampaignJoined(campaign_id=14)], ENROL, JOINED),
        ([], REDEEM, "campaign-not-joined"),
        ([CampaignJoined(campaign_id=14)], REDEEM, "campaign-not-joined"),
        ([JOINED], REDEEM, REDEEMED),
        ([JOINED, REDEEMED], REDEEM, "coupon-redeemed"),
        ([JOINED, CouponRedeemed(campaign_id=14, coupon_upc=51)], REDEEM, REDEEMED),
        ([JOINED, CouponRedeemed(campaign_id=13, coupon_upc=52)], REDEEM, REDEEMED),
        ([], award(7), AWARDED),
        ([AWARDED], award(7), AWARDED),
        ([], award(0), "points-below-one"),
        ([], award(-7), "points-below-one"),
    ],
)
def test_household(given: list[Event], when: Command, then: Event | str) -> None:
    """A campaign is joined once, a coupon redeemed once and only in a campaign joined, points are at least one."""
    decision = given_when(HOUSEHOLD_DECIDER, given, when)
    assert (decision.code if isinstance(decision, Rejected) else decision) == then


def test_the_state_does_not_grow_with_baskets() -> None:
    """A household pays hundreds of baskets; no rule needs to know them."""
    assert HOUSEHOLD_DECIDER.fold((JOINED, REDEEMED, *[AWARDED] * 500)) == HOUSEHOLD_DECIDER.fold((JOINED, REDEEMED))
