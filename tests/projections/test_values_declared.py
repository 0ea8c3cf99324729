"""Values as authors declare them: in a whole model, and each that cannot be is refused with its place."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from refold.projections import (
    STREAM,
    BadDeclaration,
    Rollup,
    between,
    bucket,
    by_event,
    case,
    coalesce,
    concat,
    day,
    divide,
    events,
    field,
    key,
    left,
    lower,
    month,
    not_,
    step,
    trim,
)
from refold.projections.declaring.conditions import Value
from refold.projections.declaring.value_types import check_condition, value_type
from refold.testing import event_at, rows
from tests.projections.test_values import KIND, SAMPLES, Colour, Sample

REFUSED: dict[str, tuple[Any, str]] = {
    "a quotient without places": (lambda: field("whole") / 2, "write divide(a, b, scale)"),
    "too many places": (lambda: divide("whole", 3, 19), "divide() rounds to 0 to 18 places, not 19"),
    "a float": (lambda: field("money") * 1.1, "1.1 is no whole number and no Decimal"),  # type: ignore[operator]  # the fault
    "a constant that is no number": (lambda: field("whole") + Decimal("NaN"), "is no whole number and no Decimal"),
    "a text": (lambda: field("text") + 1, "only whole numbers and decimals are computed with, not text"),
    "a truth value": (lambda: field("whole") + True, "True is no whole number"),
    "more than 38 digits": (lambda: field("money") * field("long") * field("money"), "38 are the most"),
    "a dividend that is too long": (lambda: divide(field("long") * field("long"), 3, 9), "37 are the most"),
    "a step of nothing": (lambda: step("whole", 0), "step() needs a width above 0, not 0"),
    "a step of a text": (lambda: step("text", 5), "only whole numbers and decimals"),
    "a case without branches": (lambda: case(otherwise=1), "case() has no branch"),
    "a branch that is no pair": (lambda: case(field("open").eq(True)), "pairs (condition, value)"),  # type: ignore[arg-type]  # the fault
    "values of two types": (
        lambda: case((field("open").eq(True), "text"), otherwise=field("whole")),
        "'text' is no whole number",
    ),
    "constants of two types": (lambda: case((field("open").eq(True), "a"), otherwise=1), "of several types"),
    "columns of two types": (lambda: coalesce("text", "whole"), "one value is integer and another text"),
    "only a constant": (lambda: coalesce(otherwise="a"), "needs a field or a value"),
    "a constant with more places": (lambda: coalesce("money", otherwise=Decimal("0.005")), "more than the 2 places"),
    "bounds that fall": (lambda: bucket("whole", [7, 3]), "bounds that rise"),
    "no bounds": (lambda: bucket("whole", []), "bounds that rise"),
    "labels of another number": (lambda: bucket("whole", [7], ["few"]), "bucket() of 1 bounds has 2 different labels"),
    "a label that cannot be stored": (lambda: bucket("whole", [7], ["\0", "b"]), "is no text that Postgres can hold"),
    "ranges of a text": (lambda: bucket("text", ["a"]), "bucket() needs a number, a time or a date, not text"),
    "bounds of another type": (lambda: bucket("on", [7]), "beside values of type date 7 is no date"),
    "hours between dates": (lambda: between("due", "on", "hours"), "two times, or two dates and days"),
    "a time and a date": (lambda: between("at", "on", "days"), "two times, or two dates and days"),
    "letters of a number": (lambda: lower("whole"), "a function of texts cannot take integer"),
    "no letters": (lambda: left("text", 0), "left() takes one letter or more, not 0"),
    "only constants": (lambda: concat("a", "b"), "concat() needs a field or a value"),
    "a number in a row of texts": (lambda: concat(field("whole"), "b"), "a function of texts cannot take integer"),
    "an unknown field": (lambda: field("none") + 1, "Sample has no field none"),
    "a word within a text": (lambda: lower(by_event({Sample: "\0"})), "is no text that Postgres can hold"),
    "too many branches": (
        lambda: case(*[(field("whole").eq(n), n) for n in range(101)]),
        "case() has 101 branches, and 100 are the most",
    ),
    "too many bounds": (lambda: bucket("whole", range(101)), "bucket() has 101 branches"),
    "a month of a number": (lambda: month(field("whole") + 1), "month() needs a time or a date"),
    "a day of a text": (lambda: day(lower("text")), "day() needs a time"),
    "a size of a text": (lambda: abs(field("text")), "only whole numbers and decimals"),
    "no expression": (lambda: 7, "7 is no field and no expression"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_values_that_cannot_be_are_refused(what: str) -> None:
    make, why = REFUSED[what]
    with pytest.raises(BadDeclaration) as refused:
        value_type(KIND, make(), "model.column")
    assert why in refused.value.message


CONDITIONS: dict[str, tuple[Any, str]] = {
    "an order of truth values": (
        lambda: case((field("open").eq(True), True), otherwise=False).lt(True),
        "have no order",
    ),
    "two types": (lambda: field("text").lt(field("whole")), "one value is integer and another text"),
    "nothing to be in": ((field("whole") + 1).is_in, "is_in() names no value"),
    "null": (lambda: (field("whole") + 1).eq(None), "no value equals None"),  # type: ignore[arg-type]  # the fault
    "a number's beginning": (lambda: field("whole").starts_with("1"), "starts_with() needs a text, not integer"),
    "within not_": (lambda: not_(field("none").eq(1)), "has no field none"),
}


@pytest.mark.parametrize("what", CONDITIONS)
def test_conditions_that_cannot_be_are_refused(what: str) -> None:
    make, why = CONDITIONS[what]
    with pytest.raises(BadDeclaration) as refused:
        check_condition("model.column", [KIND], make())
    assert why in refused.value.message


def test_values_nested_too_deep_are_refused() -> None:
    said: Value = field("text")
    for _ in range(200):
        said = trim(said)
    with pytest.raises(BadDeclaration, match="nested more than 100 deep"):
        value_type(KIND, said, "model.column")


def test_a_value_that_grows_with_each_line_is_refused_at_once() -> None:
    said: Value = field("text")
    for _ in range(60):
        said = coalesce(said, trim(said))
    with pytest.raises(BadDeclaration, match="more than 2000 values and conditions"):
        value_type(KIND, said, "model.column")
    with pytest.raises(BadDeclaration, match="more than 2000 values and conditions"):
        check_condition("model.column", [KIND], said.is_null())


def test_a_sum_of_many_fields_is_typed_in_one_pass() -> None:
    said: Value = field("whole")
    for _ in range(27):
        said += field("whole")
    assert value_type(KIND, said, "model.column")[0].sql == "numeric(38,0)"


SAMPLE = Sample(
    whole=7, long=None, money=Decimal("2.50"), fine=Decimal("0.3333"), text=" Ann ", word="x",
    at=datetime(2026, 1, 1, tzinfo=UTC), then=datetime(2026, 1, 2, 1, 30, tzinfo=UTC), on=date(2026, 1, 31), due=None,
    colour=Colour.BLUE, open=True,
)  # fmt: skip


def test_a_model_of_values_has_the_same_rows_however_it_is_folded() -> None:
    found = events(SAMPLES, Sample)
    model = Rollup(
        name="values_of_all_kinds", domain="test", description="Values.",
        key={
            "size": key(bucket("whole", [5, 10]), "Range."),
            "name": key(lower(trim("text")), "Name."),
            "long": key(concat(STREAM, "/", field("word")), "A long text is bounded."),
            "width": key(step("money", Decimal("0.75")), "Lower end."),
        },
        columns={
            "paid": found.sum(field("money") * field("whole"), "Product."),
            "mean": found.max(divide("money", "whole", 3), "Quotient."),
            "hours": found.last(between("at", "then", "hours"), "Hours."),
            "none": found.where(field("long").is_null() & not_(field("due").gt(date(2026, 1, 1)))).count("None: unknown."),
            "dear": found.where((field("money") * 2).ge(field("fine"))).count("Dear."),
            "first": found.first(case((field("open").eq(True), "open"), otherwise=field("word")), "What."),
        },
    )  # fmt: skip
    other = Sample(
        **{name: getattr(SAMPLE, name) for name in Sample.__struct_fields__} | {"word": "y" * 600, "open": False}
    )
    at = datetime(2026, 1, 1, tzinfo=UTC)
    told = rows(
        model, [event_at("s", at, SAMPLE), event_at("s", at + timedelta(hours=1), SAMPLE), event_at("t", at, other)]
    )
    assert [(row["size"], row["name"], row["width"], row["paid"], row["mean"]) for row in told] == [
        ("5 to 10", "ann", Decimal("2.25"), Decimal("35.00"), Decimal("0.357")),
        ("5 to 10", "ann", Decimal("2.25"), Decimal("17.50"), Decimal("0.357")),
    ]
    assert [(row["hours"], row["none"], row["dear"], row["first"]) for row in told] == [
        (25, 0, 2, "open"),
        (25, 0, 1, "y" * 600),
    ]
    assert told[0]["long"] == "s/x"
    assert "~sha256:" in told[1]["long"]
