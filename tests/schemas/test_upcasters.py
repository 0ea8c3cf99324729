"""Upcasters as authors write them: what cannot be is refused when code is loaded or checked, what goes wrong is named."""

import tempfile
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest

from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec
from refold.schemas.compatibility import violations
from refold.schemas.contracts import Category, Event, Money, Upcaster, Whole
from refold.schemas.errors import BadUpcaster, SchemaNotFrozen, UpcastFailed
from refold.schemas.freeze import freeze, unfrozen
from refold.schemas.upcast import MOST_EVENTS
from tests.schemas.shapes import DOC, meta


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
    assert caught.value.remedy.startswith("Restore the retired class")


def test_a_released_category_that_code_has_no_more_is_a_violation() -> None:
    found = violations([Category("tests.renamed", (), ())], released(First))
    assert [(v.rule, v.schema, v.version) for v in found] == [("no-category", "tests.retired", "v1")]
