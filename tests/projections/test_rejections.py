"""Rejections are gathered as events are; declarations that cannot hold are refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from refold.projections import BadDeclaration, Rollup, key, rejections
from refold.retail.projections import BASKETS
from refold.retail.refusals import REJECTIONS
from refold.retail.schemas.basket import BASKET, BasketOpened, OpenBasket, PayBasket, ScanItem
from refold.retail.schemas.household import RedeemCoupon
from refold.testing import event_at, rejected_at, rows

refused = rejections(BASKET)
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a command of another category": (
        lambda: rejections(BASKET, RedeemCoupon),
        "retail.basket has no command RedeemCoupon",
    ),
    "an entity": (
        lambda: replace(BASKETS, columns={**BASKETS.columns, "n": refused.count("N.")}),
        "an entity gathers no rejections",
    ),
    "a field of the command": (
        lambda: replace(REJECTIONS, columns={"n": refused.max("quantity", "N.")}),
        "refold.Rejected has no field quantity",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_declaration_that_cannot_be_is_refused(what: str) -> None:
    make, why = REFUSED[what]
    with pytest.raises(BadDeclaration) as found:
        make()
    assert why in found.value.message


def test_rejections_are_told_apart_by_category_command_reason_and_day() -> None:
    at = "2026-01-02T10:00Z"
    happened = [
        event_at("b-1", at, BasketOpened(store_id=1)),
        rejected_at("b-1", at, OpenBasket, "basket-exists", "first"),
        rejected_at("b-1", at, OpenBasket, "basket-exists", "second"),
        rejected_at("h-1", at, RedeemCoupon, "basket-exists"),
        rejected_at("b-1", "2026-01-03T10:00Z", OpenBasket, "basket-exists"),
    ]
    found = [
        (row["category"], row["command"], row["commands"], row["last_message"]) for row in rows(REJECTIONS, happened)
    ]
    assert found == [
        ("retail.basket", "OpenBasket", 2, "second"),
        ("retail.basket", "OpenBasket", 1, ""),
        ("retail.household", "RedeemCoupon", 1, ""),
    ]


def test_types_of_commands_are_chosen_and_a_rejection_leaves_the_version() -> None:
    some = rejections(BASKET, PayBasket, ScanItem)
    model = Rollup(
        name="some",
        description="Some.",
        key={"code": key("code")},
        columns={"number": some.count("Some."), "version": some.max("m_version", "At which version.")},
    )
    at = "2026-01-02T10:00Z"
    happened = [
        rejected_at("b-1", at, PayBasket, "none"),
        event_at("b-1", at, BasketOpened(store_id=1)),
        rejected_at("b-1", at, OpenBasket, "exists"),
        rejected_at("b-1", at, ScanItem, "some"),
    ]
    found = {row["code"]: (row["number"], row["version"]) for row in rows(model, happened)}
    assert found == {"exists": (0, None), "none": (1, 0), "some": (1, 1)}


def test_a_rejected_command_that_no_column_reads_is_the_tests_fault() -> None:
    with pytest.raises(TypeError, match="RedeemCoupon is no command of"):
        rows(
            replace(REJECTIONS, columns={"n": refused.count("N.")}),
            [rejected_at("h-1", "2026-01-02T10:00Z", RedeemCoupon, "x")],
        )
