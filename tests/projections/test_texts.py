"""Texts and names that an author leaves out: a field's own text; what has no field's text is refused without one."""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated

import pytest
from msgspec import Meta

from refold.projections import (
    ACTOR,
    EVENT_TYPE,
    OCCURRED_AT,
    BadDeclaration,
    Entity,
    EventTable,
    Rollup,
    cell,
    day,
    events,
    field,
    key,
)
from refold.projections.tables.fingerprint import fingerprint
from refold.projections.tables.layout import layout_of
from refold.schemas import Category, Command, Event, Money

Shop = Annotated[str, Meta(description="Number of the shop.")]


class Sell(Command):
    """Sell something."""

    stream_field = "till"
    till: Annotated[str, Meta(description="Number of the till.")]


class Void(Command):
    """Take a sale back."""

    stream_field = "till"
    till: Annotated[str, Meta(description="Number of the till.")]


class Move(Command):
    """Move a till."""

    stream_field = "old"
    old: Annotated[str, Meta(description="Number of the till.")]


class Sold(Event):
    """Something was sold."""

    shop: Shop
    amount: Annotated[Money, Meta(description="What was paid.")]


class Voided(Event):
    """A sale was taken back."""

    shop: Shop
    amount: Annotated[Money, Meta(description="What was given back.")]


TILL = Category("shop.till", commands=(Sell, Void), events=(Sold, Voided))
MOVED = Category("shop.moved", commands=(Sell, Move), events=(Sold,))
OTHER = Category("other.till", facts=(Voided,))
sold, both = events(TILL, Sold), events(TILL, Sold, Voided)


def texts(model: Rollup | Entity) -> dict[str, str | None]:
    return {part.name: part.doc for part in layout_of(model).shown}


def test_a_column_of_a_plain_field_has_the_fields_text() -> None:
    shops = Rollup(
        name="shops",
        description="D.",
        key={"shop": key("shop"), "who": key(ACTOR)},
        columns={
            "amount": sold.sum("amount"),
            "least": sold.min("amount"),
            "greatest": sold.max("amount"),
            "first": sold.first("amount"),
            "last": sold.last("amount"),
            "since": sold.min(OCCURRED_AT),
            "own": sold.max("amount", "Dearest sale."),
        },
    )
    assert texts(shops) == {
        "shop": "Number of the shop.",
        "who": "Who sent the event's command.",
        "amount": "Sum: What was paid.",
        "least": "Least: What was paid.",
        "greatest": "Greatest: What was paid.",
        "first": "What was paid.",
        "last": "What was paid.",
        "since": "Earliest: Time at which the event occurred.",
        "own": "Dearest sale.",
    }
    assert (shops.domain, shops.key["shop"].doc) == ("shop", "Number of the shop.")


def test_the_cells_of_an_event_table_have_the_texts_of_their_fields() -> None:
    columns = {"shop": cell("shop"), "type": cell(EVENT_TYPE), "cost": cell("amount", "Cost.")}
    table = EventTable(name="t", description="D.", of=both.where(field("shop").ne("x")), columns=columns)
    assert list(texts(table).values())[2:] == ["Number of the shop.", "Name of the event's type.", "Cost."]
    assert table.domain == "shop"


def test_an_entity_takes_its_keys_name_and_text_from_the_commands() -> None:
    short = Entity(name="tills", description="D.", category=TILL, columns={"shop": both.last("shop")})
    long = Entity(
        name="tills",
        domain="shop",
        description="D.",
        category=TILL,
        key_name="till",
        key_doc="Till.",
        columns={"shop": both.last("shop", "Shop.")},
    )
    assert texts(short) == {"till": "Number of the till.", "shop": "Number of the shop."}
    assert fingerprint(short) == fingerprint(long), "no text changes a row"


def rollup(**columns: object) -> Rollup:
    return Rollup(name="m", description="D.", key={"shop": key("shop")}, columns=columns)  # type: ignore[arg-type]  # some are wrong on purpose


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a computed value": (lambda: rollup(x=sold.sum(field("amount") * Decimal(2))), "m.x has no text: a field has one"),
    "a computed key": (
        lambda: Rollup(name="m", description="D.", key={"d": key(day(OCCURRED_AT))}, columns={"n": sold.count("N.")}),
        "m.d has no text",
    ),
    "a computed cell": (
        lambda: EventTable(name="m", description="D.", of=sold, columns={"x": cell(field("amount") + 1)}),
        "m.x has no text",
    ),
    "a condition": (lambda: rollup(x=sold.where(field("shop").eq("a")).sum("amount")), "says nothing of the condition"),
    "two texts": (lambda: rollup(x=both.sum("amount")), "'What was given back.', 'What was paid.'; write doc="),
    "a missing field": (lambda: rollup(x=sold.sum("price")), "m.x: Sold has no field price"),
    "an empty text of a count": (lambda: rollup(x=sold.count("")), "not count(); write doc="),
    "two domains": (lambda: rollup(x=sold.count("N."), y=events(OTHER, Voided).count("N.")), "domains other, shop"),
    "two names of a stream": (
        lambda: Entity(name="m", description="D.", category=MOVED, columns={"shop": events(MOVED, Sold).last("shop")}),
        "old and till: key_name=",
    ),
    "no name of a stream": (
        lambda: Entity(name="m", description="D.", category=OTHER, columns={"s": events(OTHER, Voided).last("shop")}),
        "are none: key_name=",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_fields_text_needs_one(what: str) -> None:
    make, why = REFUSED[what]
    with pytest.raises(BadDeclaration) as refused:
        make()
    assert why in refused.value.message
