"""Campaigns and coupons: their oracle counted by hand, and the domain's own rules and folds come to the same."""

from datetime import datetime

from refold.api.demo.campaign_oracle import expected_campaigns, expected_coupons
from refold.retail.projections import CAMPAIGNS, COUPONS
from refold.schemas.contracts import Event
from refold.streams.domain import load_domains
from refold.testing import event_at, rows
from tests.demo.decided import decided
from tests.demo.test_households import day, tiny_loyalty
from tests.demo.tiny import tiny

WITHIN = tiny_loyalty().until(day(8))
Row = tuple[int | datetime | None, ...]
FIRST_WEEK: list[Row] = [(1, 2, 1, day(6), day(6)), (2, 1, 1, day(4), day(4))]


def test_campaigns_of_the_first_week() -> None:
    assert expected_campaigns(WITHIN).sort("campaign_id").rows() == FIRST_WEEK


def test_a_campaign_of_which_nothing_is_redeemed_has_a_row() -> None:
    later = tiny_loyalty().until(day(9))
    assert expected_campaigns(later).sort("campaign_id").rows() == [*FIRST_WEEK, (3, 1, 0, None, None)]


def test_a_coupon_redeemed_twice_by_a_household_counts_once() -> None:
    assert expected_coupons(WITHIN).sort("campaign_id").rows() == [
        (1, 52, 1, day(6), day(6)),
        (2, 51, 1, day(4), day(4)),
    ]


def test_the_rules_and_the_folds_of_the_domain_come_to_the_same() -> None:
    happened = [
        event_at(one.stream, one.at, one.outcome)
        for one in decided(load_domains(["retail"]), tiny(), tiny_loyalty(), 2)
        if isinstance(one.outcome, Event) and one.category == "retail.household"
    ]
    for model, wanted in ((CAMPAIGNS, expected_campaigns), (COUPONS, expected_coupons)):
        found = [tuple(row.values()) for row in rows(model, happened)]
        assert sorted(map(str, found)) == sorted(map(str, wanted(tiny_loyalty()).rows()))
