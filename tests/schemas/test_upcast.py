"""Retired events are read as events of today, alike by rows and by columns."""

from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec
from refold.schemas.columns.decoder import ROW, ColumnDecoder, read_heads
from refold.schemas.columns.upcast import SUB, todays_events
from refold.schemas.contracts import Category, Event, Long, Money
from refold.schemas.errors import EventRetired, Undecodable
from refold.schemas.upcast import upcasts_of
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
            at = row[ROW], row.get(SUB, 0)
            assert (row["m_version"], row["m_stream"]) == (written[at[0]][0].version, written[at[0]][0].stream)
            body = {field: row[field] for field in classes[name].__struct_fields__}
            found[at] = msgspec.convert(body, classes[name])
        order = frame.select(ROW, *([SUB] if SUB in frame.columns else [])).rows()
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
