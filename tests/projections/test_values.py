"""Values and conditions: one function by columns and by row, and that of the naive evaluation."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import Meta

from refold.projections import (
    EVENT_TYPE,
    OCCURRED_AT,
    STREAM,
    BadDeclaration,
    between,
    bucket,
    by_event,
    case,
    coalesce,
    concat,
    divide,
    field,
    left,
    length,
    lower,
    not_,
    step,
    trim,
    upper,
)
from refold.projections.declaring.conditions import Condition, Value
from refold.projections.declaring.field_types import EventType, field_type
from refold.projections.declaring.sql_types import ENVELOPE_TYPES
from refold.projections.declaring.value_types import check_condition, value_type
from refold.projections.partials import column_values, row_values
from refold.schemas import Category, Event, Money, Whole
from refold.schemas.columns import envelope as m
from tests.projections import naive_values


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


Fine = Annotated[Decimal, Meta(description="D.", extra={"precision": 9, "scale": 4})]


class Sample(Event):
    """Fields of each type."""

    whole: Annotated[Whole, Meta(description="D.")]
    long: Annotated[int | None, Meta(description="D.")]
    money: Annotated[Money | None, Meta(description="D.")]
    fine: Fine
    text: Annotated[str | None, Meta(description="D.")]
    word: Annotated[str, Meta(description="D.")]
    at: Annotated[datetime, Meta(description="D.")]
    then: Annotated[datetime | None, Meta(description="D.")]
    on: Annotated[date, Meta(description="D.")]
    due: Annotated[date | None, Meta(description="D.")]
    colour: Annotated[Colour, Meta(description="D.")]
    open: Annotated[bool, Meta(description="D.")]


class Again(Sample):
    """The same fields."""


SAMPLES = Category("test.sample", commands=(), events=(Sample, Again))
KIND = EventType(SAMPLES, Sample)
CENTS = st.integers(1 - 10**12, 10**12 - 1) | st.integers(-300, 300)
WORD = by_event({Sample: "sam", Again: "again"})
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda time: time.replace(tzinfo=UTC))  # noqa: DTZ001 - the zone follows
TEXTS = st.text(st.characters(exclude_characters="\0", max_codepoint=0x2FFF), max_size=6) | st.sampled_from(
    ["ß", "İ", "ΑΣ", "ŉ", " a ", "\u00a0a", "a\n", ""]
)
EVENTS = st.builds(
    Sample,
    whole=st.integers(-(2**31), 2**31 - 1) | st.integers(-5, 5),
    long=st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5),
    money=st.none() | CENTS.map(lambda cents: Decimal(cents).scaleb(-2)),
    fine=st.integers(-(10**9) + 1, 10**9 - 1).map(lambda number: Decimal(number).scaleb(-4)),
    text=st.none() | TEXTS, word=TEXTS, at=TIMES, then=st.none() | TIMES, on=st.dates(), due=st.none() | st.dates(),
    colour=st.sampled_from(Colour), open=st.booleans(),
)  # fmt: skip
ASKED = [
    field("open").eq(True), field("text").lt(field("word")), field("then").gt(field("at")), field("due").le(field("on")),
    field("colour").is_in(Colour.RED), field("text").starts_with("a"), field("long").is_in(0, 1),
    (field("whole") + 1).is_in(1, 2), not_(field("long").gt(0)), field("due").is_null() | field("money").lt(Decimal("0.005")),
    WORD.eq("sam"), not_(WORD.is_null()), EVENT_TYPE.starts_with("A"), OCCURRED_AT.le(field("at")),
]  # fmt: skip
UNFIT = ("may have", "out of its bounds", "is no whole number", "places of its column")
"""Of refusals that a strategy cannot foresee; test_values_that_cannot_be_are_refused has each."""
SMALL = st.integers(-9, 9) | st.sampled_from([Decimal("0.5"), Decimal("-1.25"), Decimal("0.001")])


def numbers() -> st.SearchStrategy[Value]:
    fields = st.sampled_from(
        [field("whole"), field("long"), field("money"), field("fine"), length("text"), length(WORD)]
    )
    apart = st.sampled_from(
        [between("at", "then", "hours"), between("then", "at", "seconds"), between("due", "on", "days")]
    )
    return st.recursive(fields | apart, computed_numbers, max_leaves=4)


def computed_numbers(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    other = inner | SMALL
    return st.one_of(
        st.builds(lambda a, b: a + b, inner, other),
        st.builds(lambda a, b: b - a, inner, other),
        st.builds(lambda a, b: a * b, inner, other),
        inner.map(lambda a: -a),
        inner.map(abs),
        st.builds(divide, inner, other, st.integers(0, 6)),
        st.builds(step, inner, st.sampled_from([1, 7, 1000, Decimal("0.25"), Decimal("2.5")])),
        st.builds(coalesce, inner, inner),
        st.builds(lambda a: coalesce(a, otherwise=0), inner),
        st.builds(lambda c, a, b: case((c, a), otherwise=b), st.sampled_from(ASKED), inner, inner | st.none() | SMALL),
    )


def texts() -> st.SearchStrategy[Value]:
    fields = st.sampled_from([field("text"), field("word"), field("colour"), WORD, EVENT_TYPE, STREAM])
    return st.recursive(
        fields,
        lambda inner: st.one_of(
            inner.map(lower),
            inner.map(upper),
            inner.map(trim),
            st.builds(left, inner, st.integers(1, 3)),
            st.builds(lambda a, b: concat(a, "-", b), inner, inner),
            st.builds(lambda a: coalesce(a, otherwise="none"), inner),
            st.builds(lambda a: case((a.starts_with("a"), "an a"), (lower(a).eq("ß"), a), otherwise=None), inner),
            fields.map(lambda _: bucket("whole", [-1, 0, 100])),
            fields.map(lambda _: bucket("money", [Decimal("-1.5"), 0, Decimal("2.25")], ["a", "b", "c", "d"])),
            fields.map(lambda _: bucket("due", [date(1990, 1, 1), date(2020, 2, 29)])),
        ),
        max_leaves=3,
    )


def conditions(of: st.SearchStrategy[Value]) -> st.SearchStrategy[Condition]:
    operators = st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"])
    plain = st.one_of(
        st.builds(lambda a, name, b: getattr(a, name)(b), of, operators, of | SMALL),
        of.map(lambda a: a.is_null()),
        of.map(lambda a: a.is_not_null()),
        st.sampled_from(ASKED),
    )  # fmt: skip
    return st.recursive(
        plain,
        lambda inner: (
            inner.map(not_) | st.builds(lambda a, b: a & b, inner, inner) | st.builds(lambda a, b: a | b, inner, inner)
        ),
        max_leaves=3,
    )


def frame_of(found: list[Sample]) -> pl.DataFrame:
    columns = {name: field_type(KIND, name).column.dtype for name in Sample.__struct_fields__}
    cells = {name: [as_stored(getattr(event, name)) for event in found] for name in columns}
    envelope = {
        name: pl.lit(of(found[0])(name), ENVELOPE_TYPES[name].dtype).alias(name) for name in (m.OCCURRED_AT, m.STREAM)
    }
    return pl.DataFrame(cells, schema=columns).with_columns(**envelope)


def of(event: Sample) -> naive_values.Get:
    """The fields of an event, and those of its envelope."""
    envelope = {m.STREAM: "s-1", m.OCCURRED_AT: datetime(2000, 1, 1, tzinfo=UTC), "m_class": type(event)}
    return lambda name: envelope[name] if name in envelope else getattr(event, name)


def as_stored(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


@settings(max_examples=200, deadline=None)
@given(said=numbers() | texts(), found=st.lists(EVENTS, min_size=1, max_size=4))
def test_a_value_is_the_same_by_columns_by_row_and_by_hand(said: Value, found: list[Sample]) -> None:
    try:
        column, nullable = value_type(KIND, said, "here")
    except BadDeclaration as refused:
        assume(all(words not in refused.message for words in UNFIT))
        raise
    frame = frame_of(found)
    by_columns = frame.select(column_values.value_of(KIND, said).alias("found"))["found"]
    by_row = [row_values.value_of(KIND, said)(row) for row in frame.to_dicts()]
    assert by_columns.dtype == column.dtype
    assert by_columns.to_list() == by_row
    assert list(map(str, by_columns.to_list())) == list(map(str, by_row)), "with all their places"
    assert [naive_values.plain(value) for value in by_row] == [
        naive_values.value(said, of(event)) for event in found
    ]  # fmt: skip
    assert nullable or None not in by_row


@settings(max_examples=150, deadline=None)
@given(said=conditions(numbers()), found=st.lists(EVENTS, min_size=1, max_size=4))
def test_a_condition_is_the_same_by_columns_by_row_and_by_hand(said: Condition, found: list[Sample]) -> None:
    try:
        check_condition("here", [KIND], said)
    except BadDeclaration as refused:
        assume(all(words not in refused.message for words in UNFIT))
        raise
    frame = frame_of(found)
    by_columns = frame.select(column_values.condition_of(KIND, said).alias("found"))["found"].to_list()
    assert by_columns == [row_values.condition_of(KIND, said)(row) for row in frame.to_dicts()]
    assert by_columns == [
        naive_values.holds(said, of(event)) for event in found
    ]  # fmt: skip
