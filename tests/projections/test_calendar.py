"""Parts of times and dates: in any zone, across every change of the clock, by columns and by row, as Python's zones have them."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.projections import BadDeclaration, Rollup, day, events, hour, key, month, quarter, week, weekday, year
from refold.projections.tables.layout import layout_of
from refold.schemas import Category, Event
from refold.testing import event_at, rows
from tests.projections.naive import calendar_part

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",  # its clocks go forward at midnight, so that hour is missing
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # half an hour of summer time
    "Pacific/Apia",  # skipped a whole day
)
PARTS = {"day": day, "week": week, "month": month, "quarter": quarter, "year": year, "hour": hour, "weekday": weekday}


class Rung(Event):
    """A bell rang."""

    at: Annotated[datetime | None, msgspec.Meta(description="When.")] = None
    due: Annotated[date | None, msgspec.Meta(description="When it was due.")] = None


BELL = Category("sample.bell", (), (Rung,))
rung = events(BELL, Rung)


def model(**parts: Any) -> Rollup:
    return Rollup(
        name="bells", domain="sample", description="Bells.", key={name: key(part, "K.") for name, part in parts.items()},
        columns={"rings": rung.count("How often.")},
    )  # fmt: skip


def parts_of(declared: Rollup, event: Rung) -> dict[str, Any]:
    (row,) = rows(declared, [event_at("b", datetime(2026, 1, 1, tzinfo=UTC), event)])
    return {name: value for name, value in row.items() if name != "rings"}


IN_ZONE = {zone: model(**{unit: part("at", zone) for unit, part in PARTS.items()}) for zone in ZONES}
AT_CHANGES = st.sampled_from(
    [
        datetime(2026, 3, 29, 1, tzinfo=UTC),  # Berlin goes forward
        datetime(2026, 10, 25, 1, tzinfo=UTC),  # and back
        datetime(2026, 9, 6, 4, tzinfo=UTC),  # Santiago goes forward at midnight
        datetime(2018, 11, 4, 3, tzinfo=UTC),  # so did São Paulo
        datetime(2026, 10, 3, 15, 30, tzinfo=UTC),  # Lord Howe
        datetime(2011, 12, 30, 10, tzinfo=UTC),  # Apia has no 30 December
    ]
)
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2037, 12, 30)).map(lambda time: time.replace(tzinfo=UTC))  # noqa: DTZ001 - hypothesis wants bounds without a zone
NEAR = st.builds(lambda time, minutes: time + timedelta(minutes=minutes), AT_CHANGES, st.integers(-2000, 2000))


@settings(max_examples=60, deadline=None)
@given(zone=st.sampled_from(ZONES), time=TIMES | NEAR)
def test_a_part_of_a_time_is_that_of_its_zone(zone: str, time: datetime) -> None:
    assert parts_of(IN_ZONE[zone], Rung(at=time)) == {unit: calendar_part(time, unit, zone) for unit in PARTS}


def test_where_midnight_is_missing_the_day_begins_at_one() -> None:
    """`Rung` at 23:30 of 5 September in Santiago, half an hour before its clocks go from 24:00 to 1:00."""
    before, after = datetime(2026, 9, 6, 3, 30, tzinfo=UTC), datetime(2026, 9, 6, 4, 30, tzinfo=UTC)
    found = [parts_of(IN_ZONE["America/Santiago"], Rung(at=at)) for at in (before, after)]
    assert [(one["day"], one["hour"]) for one in found] == [(date(2026, 9, 5), 23), (date(2026, 9, 6), 1)]


@settings(max_examples=40, deadline=None)
@given(on=st.dates(date(1, 1, 1), date(9999, 12, 31)), time=st.datetimes(timezones=st.just(UTC)))
def test_dates_and_times_without_a_zone_are_taken_as_they_are(on: date, time: datetime) -> None:
    dated = {unit: part for unit, part in PARTS.items() if unit not in {"day", "hour"}}
    declared = model(
        **{f"due_{unit}": part("due") for unit, part in dated.items()},
        **{f"at_{unit}": part("at") for unit, part in PARTS.items()},
    )
    expected = {f"due_{unit}": calendar_part(on, unit, None) for unit in dated}
    expected |= {f"at_{unit}": calendar_part(time, unit, None) for unit in PARTS}
    assert parts_of(declared, Rung(at=time, due=on)) == expected
    assert set(parts_of(declared, Rung()).values()) == {None}


def test_the_first_and_the_last_time_have_parts_in_every_zone() -> None:
    for time in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)):
        for declared in IN_ZONE.values():
            assert parts_of(declared, Rung(at=time)) == {unit: calendar_part(time, unit, None) for unit in PARTS}


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (hour("due"), "hour() of due, which is a date, needs a time"),
        (month("due", "Europe/Berlin"), "month() of due, which is a date, needs no zone"),
        (week("at", "Europe/Bonn"), "'Europe/Bonn' is no time zone"),
        (year("m_stream"), "year() needs a time or a date, and m_stream is a text"),
        (day("none"), "Rung has no field none"),
    ],
)
def test_a_part_that_cannot_be_is_refused_when_it_is_declared(part: Any, why: str) -> None:
    with pytest.raises(BadDeclaration) as refused:
        layout_of(model(part=part))
    assert why in str(refused.value)
