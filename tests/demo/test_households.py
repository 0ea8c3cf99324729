"""The loyalty card: its commands, its oracle counted by hand, the domain's own rules and reactor come to the same, and differences are found."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import polars as pl

from refold.api.demo.check import Difference
from refold.api.demo.commands import Wish, commands
from refold.api.demo.household_oracle import ROW, expected_households
from refold.api.demo.households import compare
from refold.api.demo.loyalty import Loyalty, loyalty_of, wishes
from refold.retail.reactors import REACTORS
from refold.retail.schemas.basket import BASKET
from refold.retail.schemas.household import EnrolInCampaign, PointsAwarded, RedeemCoupon
from refold.schemas.contracts import Command
from refold.streams.decider import Rejected
from refold.streams.domain import load_domains
from refold.streams.reactors.reactor import Seen
from tests.demo.tiny import tiny


def day(number: int, month: int = 1, year: int = 2017) -> datetime:
    return datetime(year, month, number, tzinfo=UTC)


def naive(number: int, month: int = 1, year: int = 2017) -> datetime:
    return day(number, month, year).replace(tzinfo=None)


def tiny_loyalty() -> Loyalty:
    """Household 7 redeems one coupon twice; 5 never shops; campaign 3 and the last redemption are of the second week."""
    campaigns = pl.DataFrame({"campaign_id": [2, 1, 1, 3], "household_id": [7, 7, 5, 8]})
    descriptions = pl.DataFrame(
        {"campaign_id": [1, 2, 3], "start_date": [naive(14, 11, 2016), naive(3), naive(8)]},
        schema_overrides={"start_date": pl.Datetime("ns")},
    )
    redemptions = pl.DataFrame(
        {
            "household_id": [7, 7, 7, 8],
            "coupon_upc": [51, 51, 52, 53],
            "campaign_id": [2, 2, 1, 3],
            "redemption_date": [naive(4), naive(5), naive(6), naive(9)],
        },
        schema_overrides={"redemption_date": pl.Datetime("ns")},
    )
    return loyalty_of(campaigns, descriptions, redemptions)


FIRST_WEEK = {
    "5": (1, 1, 0, None, 0, 0, None, None),
    "7": (2, 2, 2, day(6), 1, 2, 2, datetime(2017, 1, 1, 11, 0, tzinfo=UTC)),
    "8": (0, None, 0, None, 1, 84, 84, day(2)),
}


def test_rows_and_rejections_of_the_first_week() -> None:
    found = expected_households(tiny(), tiny_loyalty(), 1)
    assert found.rows == FIRST_WEEK
    assert (found.commands, found.rejections) == (6, {"coupon-redeemed": 1})


def test_the_second_week_adds_to_the_first() -> None:
    found = expected_households(tiny(), tiny_loyalty(), 2)
    assert found.rows == FIRST_WEEK | {
        "8": (1, 3, 1, day(9), 1, 84, 84, day(2)),
        "9": (0, None, 0, None, 1, 5, 5, day(8)),
    }
    assert [found.total(name) for name in ("campaigns", "coupons", "points")] == [4, 3, 91]
    assert found.only({"9"}).rows.keys() == {"9"}


def test_who_redeems_has_joined_before_and_ids_are_those_of_the_rows() -> None:
    sent = list(wishes(tiny_loyalty()))
    assert [type(wish.command) for wish in sent] == [EnrolInCampaign] * 4 + [RedeemCoupon] * 4
    assert [wish.occurred_at for wish in sent[:2]] == [day(14, 11, 2016)] * 2
    assert len({wish.command_id for wish in sent}) == len(sent)
    assert list(wishes(tiny_loyalty())) == sent
    assert list(wishes(tiny_loyalty().until(day(8)))) == [wish for wish in sent if wish.occurred_at < day(8)]
    assert list(wishes(tiny_loyalty().since(day(8)))) == [wish for wish in sent if wish.occurred_at >= day(8)]


class World:
    """Both categories' rules and the reactor, by hand and in memory."""

    def __init__(self) -> None:
        self.deciders = load_domains(["retail"]).deciders
        self.states: dict[tuple[str, str], Any] = {}
        self.remembered: dict[str, Any] = {}
        self.versions: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        self.rejections: Counter[str] = Counter()

    def send(self, command: Command, at: datetime) -> None:
        decider = next(d for d in self.deciders.values() if type(command) in d.category.commands)
        stream = decider.category.stream_of(command)
        key = decider.category.name, stream
        state = self.states.get(key, decider.initial)
        decision = decider.decide(command, state)
        if isinstance(decision, Rejected):
            self.rejections[decision.code] += 1
            return
        assert not isinstance(decision, tuple)
        self.states[key] = decider.evolve(state, decision)
        if isinstance(decision, PointsAwarded):
            self.points[stream] += decision.points
        if decider.category is BASKET:
            self.react(stream, decision, at)

    def react(self, stream: str, event: Any, at: datetime) -> None:
        self.versions[stream] += 1
        for reactor in REACTORS:
            if isinstance(event, reactor.reads):
                state = self.remembered[stream] = reactor.fold([event], self.remembered.get(stream))
                seen = Seen(BASKET.name, stream, self.versions[stream], UUID(int=1), at, None, None)
                for command in reactor.react(event, state, seen):
                    self.send(command, at)


def test_the_rules_of_the_domain_come_to_the_same() -> None:
    world = World()
    sent: list[Wish] = [*wishes(tiny_loyalty()), *commands(tiny(), 2)]
    for wish in sent:
        world.send(wish.command, wish.occurred_at)
    wanted = expected_households(tiny(), tiny_loyalty(), 2)
    assert dict(world.points) == {name: row[ROW.index("points")] for name, row in wanted.rows.items() if row[5]}
    assert world.rejections["coupon-redeemed"] == wanted.rejections["coupon-redeemed"]
    assert world.rejections["points-below-one"] == world.rejections["campaign-not-joined"] == 0


def test_every_difference_is_found() -> None:
    wanted = expected_households(tiny(), tiny_loyalty(), 1)
    outcomes = (wanted.commands, wanted.rejections)
    assert compare(wanted, wanted.rows, outcomes).differences == []
    one_more = dict(wanted.rows) | {"7": (*FIRST_WEEK["7"][:5], 3, *FIRST_WEEK["7"][6:])}
    assert compare(wanted, one_more, outcomes).differences == [Difference("household 7: points", 2, 3)]
    missing = {name: row for name, row in wanted.rows.items() if name != "8"}
    found = {difference.what for difference in compare(wanted, missing, outcomes).differences}
    assert {"household 8: baskets", "household 8: points"} <= found
    surplus = dict(wanted.rows) | {"9": FIRST_WEEK["8"]}
    assert any("household 9" in difference.what for difference in compare(wanted, surplus, outcomes).differences)
    undecided = compare(wanted, wanted.rows, (5, {}))
    assert {difference.what for difference in undecided.differences} == {
        "household commands",
        "rejected as coupon-redeemed",
    }


def test_what_was_checked_adds_up() -> None:
    wanted = expected_households(tiny(), tiny_loyalty(), 1)
    told = compare(wanted, wanted.rows, (wanted.commands, wanted.rejections)).as_json()
    assert told["commands"] == told["accepted"] + told["rejected"] == 6
    assert (told["rows_checked"], told["campaigns"], told["coupons"], told["points"]) == (3, 3, 2, 86)
    assert replace(wanted, rows={}).total("points") == 0
