"""Retired events: upcasters are checked when code is loaded, run on each stored event, and read alike by rows and columns."""

import tempfile
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec
from refold.schemas.columns import ColumnDecoder, read_heads
from refold.schemas.compatibility import violations
from refold.schemas.contracts import Category, Event, Long, Money, Upcaster, Whole
from refold.schemas.errors import BadUpcaster, EventRetired, SchemaNotFrozen, Undecodable, UpcastFailed
from refold.schemas.freeze import freeze, unfrozen
from refold.schemas.upcast import MOST_EVENTS, upcasts_of
from refold.schemas.upcast_columns import SUB, todays_events
from tests.schemas.shapes import DOC, METAS, OF_EVENT, Color, Empty, Lists, Precise, Rare, meta
from tests.schemas.shapes import SHAPES as PLAIN


class Bundle(Event):
    """Retired first: several things in one."""

    texts: Annotated[list[str], DOC]
    amount: Annotated[Money, DOC]
    large: Annotated[Long, DOC] = 3


class Parcel(Event):
    """Retired later: it became bundles."""

    texts: Annotated[tuple[str, ...], DOC]
    color: Annotated[Color, DOC] = Color.RED


def unpacked(old: Bundle) -> list[Lists | Empty | Rare]:
    """An event for each text; nothing that is called so raises."""
    if "bad" in old.texts:
        raise ValueError("a bad text")
    rare = Rare(colors=(), color=None, amounts=[old.amount], flags=[True], holes=[None], nested=[old.texts], days=[])
    lists = [Lists(smalls=[place], larges=(old.large,), texts=[text]) for place, text in enumerate(old.texts)]
    return [*lists, Empty(), *([rare] if old.large % 2 else [])]


def opened(old: Parcel) -> tuple[Bundle, Empty]:
    """Through another retired type, and one of today behind it."""
    return Bundle(texts=list(old.texts), amount=Decimal("1.50"), large=len(old.color.value)), Empty()


SHAPES = Category(PLAIN.name, PLAIN.commands, PLAIN.events, (unpacked, opened))
BEFORE = Category(PLAIN.name, PLAIN.commands, (*PLAIN.events, Bundle, Parcel))
FROZEN = [schema_of(cls, PLAIN.name) for cls in BEFORE.classes]
OLD, NEW = Codec(Catalog([BEFORE], FROZEN)), Codec(Catalog([SHAPES], FROZEN))
TEXTS = st.sampled_from(["", "a", "Müsli", "bad"])
AMOUNTS = st.integers(-(10**11), 10**11).map(lambda cents: Decimal(cents).scaleb(-2))
RETIRED = st.one_of(
    st.builds(Bundle, texts=st.lists(TEXTS, max_size=4), amount=AMOUNTS, large=st.integers(-(2**63), 2**63 - 1)),
    st.builds(Parcel, texts=st.lists(TEXTS, max_size=4).map(tuple), color=st.sampled_from(Color)),
)
ANY = st.one_of(RETIRED, RETIRED, OF_EVENT[Lists], OF_EVENT[Empty], OF_EVENT[Rare], OF_EVENT[Precise])


def by_rows(values: list[bytes]) -> tuple[dict[tuple[int, int], Event], dict[int, str]]:
    """Events by row and sub-index, and the reasons of those refused."""
    found: dict[tuple[int, int], Event] = {}
    refused = {}
    for row, value in enumerate(values):
        try:
            _, events = NEW.read_events(value)
        except Undecodable as problem:
            refused[row] = problem.reason
            continue
        assert isinstance(events, tuple)
        found.update({(row, sub): event for sub, event in enumerate(events)})
    return found, refused


@pytest.mark.parametrize("thin", [True, False])
@given(written=st.lists(st.tuples(METAS, ANY), max_size=14))
@settings(max_examples=60, deadline=None)
def test_rows_and_columns_read_the_same(thin: bool, written: list[tuple[Any, Event]]) -> None:
    """Each event once, under its type of today, with the envelope that was stored; the same records are refused."""
    values = [OLD.event(head, event) for head, event in written]
    decoder = ColumnDecoder(NEW.catalog, thin=thin)
    todays = todays_events(decoder, SHAPES.name, [cls.__name__ for cls in SHAPES.events], values, read_heads(values))
    expected, refused = by_rows(values)
    classes = {cls.__name__: cls for cls in SHAPES.events}
    found: dict[tuple[int, int], Event] = {}
    for name, frame in todays.frames.items():
        assert frame.height
        for row in frame.to_dicts():
            at = row["row"], row.get(SUB, 0)
            assert (row["m_version"], row["m_stream"]) == (written[at[0]][0].version, written[at[0]][0].stream)
            body = {field: row[field] for field in classes[name].__struct_fields__}
            found[at] = msgspec.convert(body, classes[name])
        order = frame.select("row", *([SUB] if SUB in frame.columns else [])).rows()
        assert order == sorted(order)
    assert found == expected
    assert {bad.row: bad.reason for bad in todays.bad} == refused
    assert todays.upcast == sum(isinstance(event, Bundle | Parcel) for _, event in written)


def test_a_chain_of_upcasters_ends_at_todays_events_in_order() -> None:
    head = meta(category=SHAPES.name)
    read, events = NEW.read_events(OLD.event(head, Parcel(texts=("a", "b"))))
    assert read == head
    assert isinstance(events, tuple)
    assert [type(event).__name__ for event in events] == ["Lists", "Lists", "Empty", "Rare", "Empty"]
    assert upcasts_of(SHAPES).types(Parcel) == {Lists, Empty, Rare}


def test_events_of_today_are_read_as_they_are_and_retired_ones_can_still_be_seen() -> None:
    head = meta(category=SHAPES.name)
    assert NEW.read_events(OLD.event(head, Empty())) == (head, (Empty(),))
    old = Bundle(texts=["a"], amount=Decimal("2.00"))
    assert NEW.read_event(OLD.event(head, old)) == (head, old)


def test_types_that_nobody_asks_for_run_no_upcaster() -> None:
    values = [OLD.event(meta(category=SHAPES.name), Bundle(texts=["bad"], amount=Decimal(1)))]
    decoder = ColumnDecoder(NEW.catalog, thin=True)
    assert not todays_events(decoder, SHAPES.name, ["Precise"], values, read_heads(values)).bad
    asked = todays_events(decoder, SHAPES.name, ["Empty"], values, read_heads(values))
    assert [(bad.row, bad.reason) for bad in asked.bad] == [(0, "upcast-failed")]
    assert asked.bad[0].detail == "unpacked: ValueError: a bad text"


def test_a_retired_event_cannot_be_written() -> None:
    with pytest.raises(EventRetired, match="Bundle is retired"):
        NEW.event(meta(), Bundle(texts=[], amount=Decimal(0)))


class First(Event):
    """Retired."""

    number: Annotated[Whole, DOC] = 0


class Second(Event):
    """Retired in some cases."""

    number: Annotated[Whole, DOC] = 0


class Today(Event):
    """Of today."""

    number: Annotated[Whole, DOC] = 0
    amount: Annotated[Money | None, DOC] = None
    at: Annotated[datetime | None, DOC] = None
    text: Annotated[str, DOC] = ""


def category(*upcasters: Upcaster) -> Category:
    return Category("tests.retired", (), (Today,), upcasters)


def to_today(_: First) -> Today:
    return Today()


def to_second(_: First) -> Second:
    return Second()


def to_first(_: Second) -> First:
    return First()


def of_today(_: Today) -> Today:
    return Today()


def says_nothing(_: First):  # type: ignore[no-untyped-def]  # noqa: ANN201 - wrong on purpose
    return Today()


def of_two(_: First, _more: int = 0) -> Today:
    return Today()


def to_nothing(_: First) -> Today | None:
    return None


def to_any(_: First) -> Event:
    return Today()


def of_any(_: Any) -> Today:
    return Today()


@pytest.mark.parametrize(
    ("upcasters", "message"),
    [
        ((to_second, to_first), "go round in a circle: First to Second to First"),
        ((to_second,), "to_second gives Second, no event of the category"),
        ((to_today, to_second, to_first), "First is retired twice"),
        ((of_today,), "Today is retired twice, or is an event of today"),
        ((says_nothing,), "is not of the form"),
        ((of_two,), "is not of the form"),
        ((to_nothing,), "does not name the retired event and what comes of it"),
        ((to_any,), "does not name the retired event and what comes of it"),
        ((of_any,), "does not name the retired event and what comes of it"),
    ],
)
def test_what_cannot_be_is_refused_when_code_is_loaded(upcasters: tuple[Any, ...], message: str) -> None:
    frozen = [schema_of(cls, "tests.retired") for cls in (First, Second, Today)]
    with pytest.raises(BadUpcaster, match=message):
        Catalog([category(*upcasters)], frozen)


def nothing(_: First) -> list[Today]:
    return []


def strange(_: First) -> Today:
    return Second()  # type: ignore[return-value]  # wrong on purpose


def too_many(_: First) -> list[Today]:
    return [Today()] * (MOST_EVENTS + 1)


def too_large(_: First) -> Today:
    return Today(number=2**31)


def too_exact(_: First) -> Today:
    return Today(amount=Decimal("0.001"))


def without_zone(_: First) -> Today:
    return Today(at=datetime(2026, 1, 1))  # noqa: DTZ001 - wrong on purpose


def with_nul(_: First) -> Today:
    return Today(text="\0")


@pytest.mark.parametrize(
    ("upcaster", "message"),
    [
        (nothing, "gave no event for First"),
        (strange, "gave Second, which its signature does not name"),
        (too_many, "leads to 501 events"),
        (too_large, "Today: "),
        (too_exact, "decimal places"),
        (without_zone, "offset from UTC"),
        (with_nul, "NUL"),
    ],
)
def test_what_no_event_of_today_can_be_is_unreadable(upcaster: Upcaster, message: str) -> None:
    frozen = [schema_of(cls, "tests.retired") for cls in (First, Today)]
    value = Codec(Catalog([Category("tests.retired", (), (First, Today))], frozen)).event(meta(), First())
    with pytest.raises(UpcastFailed, match=message) as caught:
        Codec(Catalog([category(upcaster)], frozen)).read_events(value)
    assert caught.value.reason == "upcast-failed"


def in_other_forms(_: First) -> Today:
    return Today(amount=Decimal("-0"), at=datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))))


def test_what_is_upcast_has_the_form_in_which_it_would_have_been_written() -> None:
    frozen = [schema_of(cls, "tests.retired") for cls in (First, Today)]
    value = Codec(Catalog([Category("tests.retired", (), (First, Today))], frozen)).event(meta(), First())
    _, events = Codec(Catalog([category(in_other_forms)], frozen)).read_events(value)
    assert isinstance(events, tuple)
    (event,) = events
    assert isinstance(event, Today)
    assert (str(event.amount), str(event.at)) == ("0.00", "2026-01-01 00:00:00+00:00")


def released(*classes: type[Event]) -> Path:
    folder = Path(tempfile.mkdtemp()) / "frozen"
    freeze([schema_of(cls, "tests.retired") for cls in classes], folder)
    return folder


@pytest.mark.parametrize(
    ("upcasters", "frozen", "broken"),
    [
        ((), (First, Today), [("no-upcaster", "tests.retired.First", "v1")]),
        ((to_today,), (First, Today), []),
        ((to_today,), (Today,), [("retired-changed", "tests.retired.First", "code")]),
        ((to_second,), (First, Today), [("upcaster-invalid", "tests.retired", "code")]),
    ],
)
def test_check_names_released_events_that_nobody_reads(
    upcasters: tuple[Upcaster, ...], frozen: tuple[type[Event], ...], broken: list[tuple[str, str, str]]
) -> None:
    found = violations([category(*upcasters)], released(*frozen))
    assert [(one.rule, one.schema, one.version) for one in found] == broken


def test_retired_classes_are_not_frozen_again_and_may_not_change() -> None:
    today = schema_of(Today, "tests.retired")
    assert unfrozen([category(to_today)], [today]) == []
    with pytest.raises(SchemaNotFrozen, match="First has no frozen schema") as caught:
        Catalog([category(to_today)], [today])
    assert caught.value.remedy.startswith("Put the retired class back")
