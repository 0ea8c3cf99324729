"""Event tables that cannot be are refused; their rows are those of the events, however they are folded."""

from typing import Any

import pytest

from refold.projections import (
    ACTOR,
    OCCURRED_AT,
    BadDeclaration,
    EventTable,
    by_event,
    cell,
    coalesce,
    day,
    divide,
    events,
    field,
    rejections,
)
from refold.projections.declaring.gathering import Events
from refold.projections.tables.fingerprint import fingerprint
from refold.projections.tables.layout import layout_of
from refold.testing import event_at, rows
from tests.projections.sample import ACCOUNT, LETTER, STEPS, Closed, Opened, Paid, PaidTwice, Sent

OPENED = events(ACCOUNT, Opened)
PART = ("part", "Number.")


def table(of: Events, **more: Any) -> EventTable:
    given = {
        "name": "t",
        "domain": "sample",
        "description": "D.",
        "columns": {"owner": cell("owner", "Who.")},
        "part": PART,
    }
    return EventTable(**{**given, "of": of, **more})


REFUSED: dict[str, tuple[Any, str]] = {
    "events of two categories": (lambda: table(OPENED | events(LETTER, Sent)), "a table for each category"),
    "no number of split events": (lambda: table(events(ACCOUNT, Paid), part=None), "name a column for their number"),
    "a field that no type has": (
        lambda: table(OPENED, columns={"x": cell("amount", "D.")}),
        "t.x: none of Opened has amount",
    ),
    "what is no cell": (
        lambda: table(OPENED, columns={"x": OPENED.count("D.")}),
        "t.x: a column that gathers by count() is no column of an event table: write cell('field')",
    ),
    "a class for events": (lambda: table(Opened), "its events are `of=events(CATEGORY, Event)`"),  # type: ignore[arg-type]  # wrong on purpose
    "a text for a column of the key": (lambda: table(OPENED, stream="account"), "a name and a text"),
    "a short text for a column of the key": (lambda: table(OPENED, version="n"), "not 'n'"),
    "one name for two columns of the key": (
        lambda: table(OPENED, stream=("n", "D."), version=("n", "D.")),
        "two columns of its key have one name",
    ),
    "no column": (lambda: table(OPENED, columns={}), "has a key and columns"),
    "a name twice": (lambda: table(OPENED, version=("owner", "D.")), "a column is declared twice"),
    "a condition on a missing field": (
        lambda: table((OPENED | events(ACCOUNT, Closed)).where(field("owner").ne("eve"))),
        "Closed has no field owner",
    ),
    "events and rejections": (
        lambda: table(OPENED | rejections(ACCOUNT)),
        "a table has rows of events or of rejections",
    ),
    "a word for one type of two": (
        lambda: table(OPENED | events(ACCOUNT, Paid), columns={"w": cell(by_event({Opened: "o"}), "D.")}),
        "no word for Paid",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_table_that_cannot_be_is_refused(what: str) -> None:
    make, why = REFUSED[what]
    with pytest.raises(BadDeclaration) as refused:
        make()
    assert why in refused.value.message


def test_each_event_has_its_row_and_columns_of_other_types_are_null() -> None:
    happened = [
        event_at("a", "2026-01-01T10:00Z", Opened(owner="ann")),
        event_at("a", "2026-01-01T10:01Z", PaidTwice(first=1, second=2, points=3)),  # type: ignore[arg-type]  # whole amounts
        event_at("b", "2026-01-01T10:02Z", Opened(owner="eve")),
    ]
    assert [
        (row["account"], row["step"], row["part"], row["word"], row["amount"]) for row in rows(STEPS, happened[:2])
    ] == [
        ("a", 1, 0, "opened", None),
        ("a", 2, 1, "paid", 2),
    ]
    assert len(rows(STEPS, happened)) == 2, "eve's does not fulfil the condition"


def test_a_column_that_cannot_be_null_is_required() -> None:
    columns = {
        "owner": cell("owner"),
        "amount": cell("amount"),
        "more": cell(field("amount") + 1, "D."),
        "part": cell(divide("amount", "points", 2), "D."),
        "day": cell(day(OCCURRED_AT), "D."),
        "actor": cell(ACTOR),
        "filled": cell(coalesce("owner", otherwise="nobody"), "D."),
    }
    paid = table(events(ACCOUNT, Paid).where(field("points").gt(0)), columns=columns, part=("number", "D."))
    required = {part.name for part in layout_of(paid).shown if part.required}
    assert required == {"stream", "version", "number", "amount", "more", "day", "filled"}
    several = table(OPENED | events(ACCOUNT, Paid), columns=columns, part=("number", "D."))
    required = {part.name for part in layout_of(several).shown if part.required}
    assert required == {"stream", "version", "number", "day", "filled"}, "an opening has no amount"


def test_the_condition_is_part_of_the_fingerprint() -> None:
    assert fingerprint(table(OPENED)) != fingerprint(table(OPENED.where(field("owner").eq("ann"))))
    assert layout_of(table(OPENED)).appends
