"""A synthetic domain with every type that a contract allows, and random records of it."""

from datetime import UTC, date, datetime
from decimal import Context, Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

from hypothesis import strategies as st
from msgspec import Meta as About

from refold.schemas.avro import Schema, schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.contracts import Category, Command, Event, Long, Money, Whole
from refold.schemas.meta import CommandMeta, Meta

Fine = Annotated[Decimal, About(extra={"precision": 18, "scale": 9})]
Wide = Annotated[Decimal, About(extra={"precision": 38, "scale": 0})]
DOC = About(description="A field.")


class Color(Enum):
    """Three of them."""

    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Plain(Event):
    """One of each scalar, all of them required."""

    flag: Annotated[bool, DOC]
    small: Annotated[Whole, DOC]
    large: Annotated[Long, DOC]
    text: Annotated[str, DOC]
    amount: Annotated[Money, DOC]
    at: Annotated[datetime, DOC]
    day: Annotated[date, DOC]
    color: Annotated[Color, DOC]
    again: Annotated[Color, DOC]


class Precise(Event):
    """A number of 38 digits, there and perhaps there."""

    wide: Annotated[Wide, DOC]
    maybe: Annotated[Wide | None, DOC] = None


class Optional(Event):
    """One of each scalar that may be absent."""

    flag: Annotated[bool | None, DOC] = None
    small: Annotated[Whole | None, DOC] = None
    large: Annotated[Long | None, DOC] = None
    text: Annotated[str | None, DOC] = None
    amount: Annotated[Fine | None, DOC] = None
    at: Annotated[datetime | None, DOC] = None
    day: Annotated[date | None, DOC] = None


class Lists(Event):
    """Arrays that are read by columns."""

    smalls: Annotated[list[Whole], DOC]
    larges: Annotated[tuple[Long, ...], DOC]
    texts: Annotated[list[str], DOC]
    maybe: Annotated[list[Long] | None, DOC] = None
    last: Annotated[Whole, DOC] = 7


class Rare(Event):
    """What only the row-wise codec reads."""

    colors: Annotated[tuple[Color, ...], DOC]
    color: Annotated[Color | None, DOC]
    amounts: Annotated[list[Money], DOC]
    flags: Annotated[list[bool], DOC]
    holes: Annotated[list[Whole | None], DOC]
    nested: Annotated[list[list[str]], DOC]
    days: Annotated[list[date], DOC]
    wide: Annotated[Wide | None, DOC] = None


class Empty(Event):
    """Nothing but that it happened."""


class DoAll(Command):
    """One of each that a command may hold."""

    stream_field = "stream"
    stream: Annotated[str, DOC]
    small: Annotated[Whole, DOC]
    amount: Annotated[Money, DOC]
    at: Annotated[datetime | None, DOC] = None
    fine: Annotated[Fine | None, DOC] = None
    large: Annotated[Long, DOC] = 5
    color: Annotated[Color, DOC] = Color.RED
    texts: Annotated[tuple[str, ...], DOC] = ()
    flag: Annotated[bool, DOC] = False


EVENTS = (Plain, Precise, Optional, Lists, Rare, Empty)
SHAPES = Category("tests.shapes", commands=(DoAll,), events=EVENTS)
CATALOG = Catalog([SHAPES], [schema_of(cls, SHAPES.name) for cls in SHAPES.classes])


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    """Decimals of exactly this form, negative and of full length among them."""
    most = 10**precision - 1
    exact = Context(prec=60)
    return st.integers(-most, most).map(lambda n: exact.scaleb(Decimal(n), -scale))


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
WHOLE = st.integers(-(2**31), 2**31 - 1)
LONG = st.integers(-(2**63), 2**63 - 1)
INSTANT = st.datetimes(timezones=st.just(UTC))
UUIDS = st.binary(min_size=16, max_size=16).map(lambda raw: UUID(bytes=raw))
COLORS = st.sampled_from(Color)
STREAM = st.from_regex(r"[A-Za-z0-9._~:-]{1,30}", fullmatch=True)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The strategy, or None."""
    return st.none() | strategy


MONEY = decimals(12, 2)
OF_EVENT: dict[type[Event], st.SearchStrategy[Any]] = {
    Plain: st.builds(
        Plain,
        flag=st.booleans(),
        small=WHOLE,
        large=LONG,
        text=TEXT,
        amount=MONEY,
        at=INSTANT,
        day=st.dates(),
        color=COLORS,
        again=COLORS,
    ),
    Precise: st.builds(Precise, wide=decimals(38, 0), maybe=maybe(decimals(38, 0))),
    Optional: st.builds(
        Optional,
        flag=maybe(st.booleans()),
        small=maybe(WHOLE),
        large=maybe(LONG),
        text=maybe(TEXT),
        amount=maybe(decimals(18, 9)),
        at=maybe(INSTANT),
        day=maybe(st.dates()),
    ),
    Lists: st.builds(
        Lists,
        smalls=st.lists(WHOLE, max_size=6),
        larges=st.lists(LONG, max_size=6).map(tuple),
        texts=st.lists(TEXT, max_size=6),
        maybe=maybe(st.lists(LONG, max_size=3)),
        last=WHOLE,
    ),
    Rare: st.builds(
        Rare,
        colors=st.lists(COLORS, max_size=4).map(tuple),
        color=maybe(COLORS),
        amounts=st.lists(MONEY, max_size=3),
        flags=st.lists(st.booleans(), max_size=3),
        holes=st.lists(maybe(WHOLE), max_size=3),
        nested=st.lists(st.lists(TEXT, max_size=2), max_size=2),
        days=st.lists(st.dates(), max_size=2),
        wide=maybe(decimals(38, 0)),
    ),
    Empty: st.just(Empty()),
}
COMMANDS: st.SearchStrategy[DoAll] = st.builds(
    DoAll,
    stream=STREAM,
    small=WHOLE,
    amount=MONEY,
    at=maybe(INSTANT),
    fine=maybe(decimals(18, 9)),
    large=LONG,
    color=COLORS,
    texts=st.lists(TEXT, max_size=3).map(tuple),
    flag=st.booleans(),
)
METAS = st.builds(
    Meta,
    writer=UUIDS,
    command_id=UUIDS,
    body_hash=st.binary(min_size=16, max_size=16),
    event_id=UUIDS,
    category=st.just(SHAPES.name),
    stream=STREAM,
    version=LONG,
    base_version=LONG,
    seq=LONG,
    index=WHOLE,
    count=WHOLE,
    command_offset=LONG,
    occurred_at=INSTANT,
    recorded_at=INSTANT,
    actor=maybe(TEXT),
    correlation_id=maybe(TEXT),
)
COMMAND_METAS = st.builds(
    CommandMeta,
    command_id=UUIDS,
    category=st.just(SHAPES.name),
    stream=STREAM,
    occurred_at=INSTANT,
    expected_version=maybe(LONG),
    actor=maybe(TEXT),
    correlation_id=maybe(TEXT),
)


def meta(**changes: Any) -> Meta:
    """An envelope with everything in it."""
    base: dict[str, Any] = {
        "writer": UUID(int=1),
        "command_id": UUID(int=2),
        "body_hash": bytes(range(16)),
        "event_id": UUID(int=3),
        "category": SHAPES.name,
        "stream": "s-1",
        "version": 5,
        "base_version": 4,
        "seq": 70,
        "index": 0,
        "count": 1,
        "command_offset": 900,
        "occurred_at": datetime(2026, 1, 31, 12, tzinfo=UTC),
        "recorded_at": datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
    }
    return Meta(**{**base, **changes})


def schemas() -> list[Schema]:
    """Today's schemas of the shapes."""
    return [schema_of(cls, SHAPES.name) for cls in SHAPES.classes]
