"""A history has every event with all its fields, and is one table by rows, by columns and rebuilt."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, cast
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, defstruct

from refold.projections import (
    PAYLOAD,
    BadDeclaration,
    EventTable,
    History,
    Link,
    Rollup,
    carried,
    cell,
    coalesce,
    events,
    key,
    rejections,
)
from refold.projections.declaring.declaration import EventType
from refold.projections.partials.batch import batch_of, counted_events
from refold.projections.partials.by_rows import partial_columns
from refold.projections.partials.partial import partial_of
from refold.projections.partials.row_batch import RowReader
from refold.projections.replay.wanted_columns import wanted_columns
from refold.projections.tables.fingerprint import fingerprint
from refold.projections.tables.layout import layout_of
from refold.schemas import Category, Event, Long, Money, Whole
from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec
from refold.schemas.columns.decoder import ColumnDecoder
from refold.schemas.meta import Meta as Envelope
from refold.streams.chunk import Chunk
from refold.testing import event_at, rows
from tests.projections.sample import ACCOUNT, CATALOG, HISTORY, STEPS, Opened


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


Fine = Annotated[Decimal, Meta(extra={"precision": 30, "scale": 9})]


class Everything(Event):
    """Fields of each type."""

    whole: Annotated[Whole, Meta(description="D.")]
    long: Annotated[Long | None, Meta(description="D.")]
    money: Annotated[Money | None, Meta(description="D.")]
    fine: Annotated[Fine, Meta(description="D.")]
    text: Annotated[str | None, Meta(description="D.")]
    at: Annotated[datetime, Meta(description="D.")]
    on: Annotated[date | None, Meta(description="D.")]
    colour: Annotated[Colour, Meta(description="D.")]
    shade: Annotated[Colour | None, Meta(description="D.")]
    open: Annotated[bool, Meta(description="D.")]
    texts: Annotated[tuple[str, ...], Meta(description="D.")]
    times: Annotated[tuple[datetime, ...], Meta(description="D.")]
    prices: Annotated[tuple[Money, ...] | None, Meta(description="D.")]
    deep: Annotated[tuple[tuple[Colour, ...], ...], Meta(description="D.")]
    later: Annotated[tuple[Whole, ...], Meta(description="D.")] = ()


class Plain(Event):
    """Texts and numbers alone, as columns are read most quickly."""

    word: Annotated[str, Meta(description="D.")]
    price: Annotated[Money, Meta(description="D.")]
    at: Annotated[datetime | None, Meta(description="D.")] = None
    words: Annotated[tuple[str, ...], Meta(description="D.")] = ()


class Nothing(Event):
    """No field."""


THINGS = Category("test.thing", (), (Everything, Plain, Nothing))
ALL = History(name="all_things", description="D.", of=THINGS)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ['"', "\\", "\u2028", "\x7f", "\x01\x1f", "\ufffe", "😀", "</"]
)
TIMES = st.datetimes().map(lambda time: time.replace(tzinfo=UTC)) | st.sampled_from(
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(999, 1, 1, tzinfo=UTC),
    ]
)
MONEY = st.integers(1 - 10**12, 10**12 - 1).map(lambda cents: Decimal(cents).scaleb(-2))
EVENTS = st.one_of(
    st.builds(
        Everything,
        whole=st.integers(-(2**31), 2**31 - 1), long=st.none() | st.integers(-(2**63), 2**63 - 1), money=st.none() | MONEY,
        fine=st.integers(1 - 10**30, 10**30 - 1).map(lambda number: Decimal(f"{number}e-9")), text=st.none() | TEXTS,
        at=TIMES, on=st.none() | st.dates(), colour=st.sampled_from(Colour), shade=st.none() | st.sampled_from(Colour),
        open=st.booleans(), texts=st.lists(TEXTS, max_size=3).map(tuple), times=st.lists(TIMES, max_size=2).map(tuple),
        prices=st.none() | st.lists(MONEY, max_size=2).map(tuple), later=st.just(()),
        deep=st.lists(st.lists(st.sampled_from(Colour), max_size=2).map(tuple), max_size=2).map(tuple),
    ),
    st.builds(Plain, word=TEXTS, price=MONEY, at=st.none() | TIMES, words=st.lists(TEXTS, max_size=2).map(tuple)),
    st.just(Nothing()),
)  # fmt: skip


def plain(value: Any, places: int = 2) -> Any:
    """A field's value as JSON has it, naively."""
    if isinstance(value, Decimal):
        return f"{value:.{places}f}"
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def payload(event: Event) -> dict[str, Any]:
    return {name: plain(getattr(event, name), 9 if name == "fine" else 2) for name in type(event).__struct_fields__}


@settings(max_examples=40, deadline=None)
@given(log=st.lists(st.tuples(st.sampled_from(["a", "b"]), EVENTS), min_size=1, max_size=6))
def test_every_way_of_folding_has_all_fields_of_every_event(log: list[tuple[str, Event]]) -> None:
    happened = [event_at(stream, "2026-01-01T10:00Z", event) for stream, event in log]
    found = rows(ALL, happened)  # by rows, by columns, in many chunkings, and twice
    assert [(row["event_type"], row["payload"]) for row in found] == [
        (type(event).__name__, payload(event)) for stream in "ab" for of, event in log if of == stream
    ]
    assert [(row["stream"], row["version"]) for row in found] == sorted(
        (row["stream"], row["version"]) for row in found
    )


def category_of(*fields: tuple[Any, ...]) -> Category:
    """A category whose one event has these fields."""
    made = defstruct("Said", fields, bases=(Event,), namespace={"__doc__": "D."}, frozen=True, kw_only=True)
    return Category("test.said", (), (cast("type[Event]", made),))


WORD = ("word", Annotated[str, Meta(description="D.")])
WORDS = ("words", Annotated[tuple[str, ...], Meta(description="D.")], ())
OLD, NEW = category_of(WORD), category_of(WORD, WORDS)
BOTH = Catalog((NEW,), [schema_of(of.events[0], of.name) for of in (OLD, NEW)])


def written(of: Category, **fields: Any) -> bytes:
    """An event as today's code, or that of before, writes it."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    envelope = Envelope(
        writer=UUID(int=1), command_id=UUID(int=2), body_hash=bytes(16), event_id=UUID(int=3), category=of.name, stream="a",
        version=1, base_version=0, seq=0, index=0, count=1, command_offset=0, occurred_at=at, recorded_at=at,
    )  # fmt: skip
    return Codec(Catalog((of,), [schema_of(of.events[0], of.name)])).event(envelope, of.events[0](**fields))


def test_an_event_from_before_a_field_has_its_default_and_the_table_is_made_anew() -> None:
    before, after = (History(name="h", description="D.", of=of) for of in (OLD, NEW))
    assert fingerprint(before) != fingerprint(after)
    kind, chunk = EventType(NEW, NEW.events[0]), Chunk(f"{NEW.name}.events", 0, 0, [written(OLD, word="old")])
    by_rows = RowReader(BOTH, NEW.name, [kind]).read([chunk], {})
    assert by_rows is not None
    frames = counted_events(ColumnDecoder(BOTH, thin=True), [kind], batch_of(NEW.name, [chunk]), {}, []).frames
    layout = layout_of(after)
    assert partial_columns(layout, by_rows)["payload"] == partial_of(layout, frames)["payload"].to_list()
    assert partial_of(layout, frames)["payload"].to_list() == ['{"word":"old","words":[]}']


def test_other_defaults_and_scales_make_another_table_and_new_symbols_do_not() -> None:
    def of(*fields: tuple[Any, ...]) -> str:
        return fingerprint(History(name="h", description="D.", of=category_of(*fields)))

    shorter, longer = Enum("Shade", {"A": "a"}), Enum("Shade", {"A": "a", "B": "b"})
    assert of(("s", Annotated[shorter, Meta(description="D.")])) == of(("s", Annotated[longer, Meta(description="X.")]))
    assert of(WORD, WORDS) != of(WORD, (*WORDS[:2], ("x",)))
    assert of(("n", Annotated[Fine, Meta(description="D.")])) != of(("n", Annotated[Money, Meta(description="D.")]))


def test_a_zero_byte_in_a_list_waits_by_rows_and_by_columns() -> None:
    """No handler writes one; Postgres cannot hold it in JSON either."""
    value = written(NEW, word="a", words=("b", "cZd")).replace(b"cZd", b"c\0d")
    kind, chunk = EventType(NEW, NEW.events[0]), Chunk(f"{NEW.name}.events", 0, 0, [value])
    assert RowReader(BOTH, NEW.name, [kind]).read([chunk], {}) is None
    counted = counted_events(ColumnDecoder(BOTH, thin=True), [kind], batch_of(NEW.name, [chunk]), {}, [])
    assert [park.code for park in counted.parks] == ["value-unstorable"]
    assert counted.events == 0


def test_a_rebuild_decodes_every_field_of_a_payload() -> None:
    wanted = wanted_columns([layout_of(STEPS)], CATALOG)
    assert ("sample.account", "Paid") in wanted
    assert not wanted_columns([layout_of(STEPS), layout_of(HISTORY)], CATALOG)


OPENED = events(ACCOUNT, Opened)


def table(**more: Any) -> EventTable:
    return EventTable(
        **{
            "name": "t",
            "description": "D.",
            "of": OPENED,
            "columns": {"p": cell(PAYLOAD)},
            "part": ("part", "D."),
            **more,
        }
    )


REFUSED: dict[str, tuple[Any, str]] = {
    "a history of events": (lambda: History(name="h", description="D.", of=OPENED), "of a category"),  # type: ignore[arg-type]  # wrong on purpose
    "no number of split events": (
        lambda: History(name="h", description="D.", of=ACCOUNT),
        "name a column for their number",
    ),
    "a key": (
        lambda: Rollup(name="r", description="D.", key={"p": key(PAYLOAD, "D.")}, columns={"n": OPENED.count("D.")}),
        "r.p: only a cell of an EventTable holds PAYLOAD",
    ),
    "a gathered column": (
        lambda: Rollup(name="r", description="D.", key={"o": key("owner")}, columns={"p": OPENED.last(PAYLOAD)}),
        "r.p: only a cell of an EventTable holds PAYLOAD",
    ),
    "a set": (
        lambda: Rollup(
            name="r", description="D.", key={"o": key("owner")}, columns={"p": OPENED.distinct(PAYLOAD, "D.")}
        ),
        "r.p: only a cell of an EventTable holds PAYLOAD",
    ),
    "a condition": (lambda: table(of=OPENED.where(PAYLOAD.eq("{}"))), "nothing is computed from PAYLOAD"),
    "whether it is there": (lambda: table(of=OPENED.where(PAYLOAD.is_null())), "nothing is computed from PAYLOAD"),
    "a part of a value": (
        lambda: table(columns={"p": cell(coalesce(PAYLOAD, otherwise="{}"), "D.")}),
        "nothing is computed from PAYLOAD",
    ),
    "carried": (lambda: table(columns={"p": cell(carried(Opened, PAYLOAD), "D.")}), "nothing is computed from PAYLOAD"),
    "of a rejection": (
        lambda: table(of=rejections(ACCOUNT), part=None),
        "a rejection has no PAYLOAD: take its command, code and message",
    ),
    "an index": (lambda: table(indexes=("p",)), "p holds PAYLOAD, which has no index and no link"),
    "a link": (lambda: table(links={"x": Link("other", columns="p", doc="D.")}), "p holds PAYLOAD, which has no index"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_payload_that_cannot_be_is_refused(what: str) -> None:
    make, why = REFUSED[what]
    with pytest.raises(BadDeclaration) as refused:
        make()
    assert why in refused.value.message
