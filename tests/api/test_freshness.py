"""How fresh rows are, and when a client has them already: the pure part."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refold.api.errors import HeaderInvalid
from refold.api.http.reads.freshness import Seen, Standing, http_date, is_known, read_max_age
from refold.api.http.reads.standing import ClosedModel
from refold.projections.tables.serving import served_models

MODEL = ("retail", "store_daily")


def standing(offset: int = 7, now: float = 100.0, **more: Any) -> Standing:
    return Standing({("retail.basket.events", 0): offset}, 0, 0, None, table="1:f", now=now, seen=now, **more)


def test_the_tag_is_of_the_rows_and_of_the_question() -> None:
    tag = standing().etag("/v1/retail/store_daily?limit=1")
    assert tag.startswith('W/"')
    assert tag == standing(now=200.0, as_of="x", age=3.0).etag("/v1/retail/store_daily?limit=1"), "no time is in it"
    others = [standing(8).etag("/v1/retail/store_daily?limit=1"), standing().etag("/v1/retail/store_daily?limit=2")]
    others.append(Standing(standing().positions, 0, 0, None, table="2:f").etag("/v1/retail/store_daily?limit=1"))
    others.append(Standing(standing().positions, 0, 1, None, table="1:f").etag("/v1/retail/store_daily?limit=1"))
    assert len({tag, *others}) == 5


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ({}, False),
        ({"if-none-match": 'W/"a"'}, True),
        ({"if-none-match": '"a"'}, True),
        ({"if-none-match": '"b", W/"a"'}, True),
        ({"if-none-match": "*"}, True),
        ({"if-none-match": 'W/"b"'}, False),
        ({"if-none-match": "a"}, False),
        ({"if-none-match": '"b"', "if-modified-since": http_date(200)}, False),
        ({"if-modified-since": http_date(101)}, True),
        ({"if-modified-since": http_date(100)}, False),
        ({"if-modified-since": "yesterday"}, False),
    ],
)
def test_a_client_has_the_answer_if_its_tag_or_its_time_says_so(headers: dict[str, str], known: bool) -> None:
    assert is_known(headers, 'W/"a"', 101) is known


def test_without_a_time_of_its_own_an_answer_is_never_unmodified() -> None:
    assert not is_known({"if-modified-since": http_date(2000)}, 'W/"a"', None)


@given(
    steps=st.lists(st.floats(0.01, 3.0), min_size=1, max_size=30),
    changes=st.lists(st.booleans(), min_size=30, max_size=30),
    who=st.lists(st.integers(0, 1), min_size=30, max_size=30),
)
def test_no_process_calls_rows_unmodified_that_have_changed(
    steps: list[float], changes: list[bool], who: list[int]
) -> None:
    """Two processes with one clock; every time that either told is asked again of both at every later state."""
    processes, told = [Seen(), Seen()], list[tuple[int, int]]()
    now, state = 100.0, 0
    for step, changed, one in zip(steps, changes, who, strict=False):
        now, state = now + step, state + changed
        modified = processes[one].modified(MODEL, standing(state, now))
        for second, of in told:
            if is_known({"if-modified-since": http_date(second)}, "", modified):
                assert of == state
        if modified is not None:
            told.append((modified, state))


def test_a_snapshot_is_as_old_as_its_moment_and_of_any_age_where_that_is_a_position() -> None:
    shown = served_models(["retail"])[0]
    values = {one.name: getattr(shown, one.name) for one in fields(shown)}
    moment = datetime.now(UTC) - timedelta(days=3)
    dated = ClosedModel(**values, snapshot="s", at=moment.isoformat(), taken=moment.timestamp() + 9).standing()
    assert 3 * 86_400 <= int(dated.headers()["Refold-Age"]) < 4 * 86_400
    assert (dated.is_older(5), dated.is_older(5 * 86_400), dated.is_older(None)) == (True, False, False)
    placed = ClosedModel(**values, snapshot="s", at=None, taken=moment.timestamp()).standing()
    assert placed.headers().keys() == {"Refold-Position"}
    assert (placed.is_older(10**9), placed.is_older(None)) == (True, False)


@pytest.mark.parametrize(("text", "seconds"), [("5", 5.0), (" 0.25 ", 0.25), ("0", 0.0)])
def test_an_age_is_a_number_of_seconds(text: str, seconds: float) -> None:
    assert read_max_age({"refold-max-age": text}) == seconds
    assert read_max_age({}) is None


@pytest.mark.parametrize("text", ["", "-1", "5s", "1e3", "NaN", "٣", "1.1234567"])
def test_any_other_age_is_refused(text: str) -> None:
    with pytest.raises(HeaderInvalid):
        read_max_age({"refold-max-age": text})


def test_an_answer_says_how_fresh_it_is() -> None:
    found = standing(as_of="2026-01-31T12:00:00.000Z", age=0.2).headers()
    assert found == {
        "Refold-Position": "retail.basket.events/0:7",
        "Refold-Lag": "0",
        "Refold-Age": "1",
        "Refold-As-Of": "2026-01-31T12:00:00.000Z",
    }
