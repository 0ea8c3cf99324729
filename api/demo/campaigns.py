"""Campaigns and their coupons: their rows are compared with the oracle's."""

import polars as pl

from refold.api.demo.campaign_oracle import expected_campaigns, expected_coupons
from refold.api.demo.client import Client
from refold.api.demo.frames import CheckedModel, compare, rows_like
from refold.api.demo.households import known
from refold.api.demo.loyalty import Loyalty, wishes
from refold.api.demo.tables import Tables
from refold.retail.schemas.household import HOUSEHOLD, EnrolInCampaign, RedeemCoupon
from refold.schemas.identity import outcome_key


def checked_campaigns(client: Client, tables: Tables, sent: Loyalty, later: Loyalty) -> list[CheckedModel]:
    """Compare both models, without the campaigns of which an earlier, longer run sent something `later`."""
    further = _decided(tables, later)
    wanted = {
        "campaigns": (("campaign_id",), expected_campaigns(sent)),
        "coupons": (("campaign_id", "coupon_upc"), expected_coupons(sent)),
    }
    ours = ~pl.col("campaign_id").is_in(sorted(further))
    return [
        compare(name, key, rows.filter(ours), rows_like(rows, client, f"/v1/retail/{name}").filter(ours))
        for name, (key, rows) in wanted.items()
    ]


def _decided(tables: Tables, loyalty: Loyalty) -> set[int]:
    """The campaigns of those commands that are decided."""
    keys = {}
    for wish in wishes(loyalty):
        assert isinstance(wish.command, EnrolInCampaign | RedeemCoupon)
        key = outcome_key(HOUSEHOLD.name, HOUSEHOLD.stream_of(wish.command), wish.command_id.bytes)
        keys[key] = wish.command.campaign_id
    return {keys[key] for key, _ in known(tables, keys)}
