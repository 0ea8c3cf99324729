"""How far behind: records against the log's end, seconds by the broker's clock."""

from datetime import UTC, datetime, timedelta

from refold.streams.lag import Lag, lags, worst

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENDS = {("t", 0): 10, ("t", 1): 5}


def test_behind_caught_up_and_never_seen() -> None:
    rows = [("core", "t", 0, 7, NOW - timedelta(seconds=4)), ("core", "t", 1, 5, NOW - timedelta(hours=1))]
    found = {(lag.group, lag.part): (lag.records, lag.seconds) for lag in lags(rows, ENDS, NOW)}
    assert found == {("core", 0): (3, 4.0), ("core", 1): (0, 0.0), ("models", 0): (10, None), ("models", 1): (5, None)}


def test_builds_are_shown_and_topics_of_others_are_not() -> None:
    rows = [("build:3", "t", 0, 2, None), ("core", "other", 0, 2, None)]
    assert {lag.group for lag in lags(rows, ENDS, NOW)} == {"build:3", "core", "models"}
    assert {lag.topic for lag in lags(rows, ENDS, NOW)} == {"t"}


def test_a_position_read_after_the_end_is_no_negative_lag() -> None:
    assert lags([("core", "t", 0, 12, NOW)], {("t", 0): 10}, NOW)[0].records == 0


def test_the_worst_of_a_group() -> None:
    found = [
        Lag("core", "t", 0, 7, 10, 3, 4.0),
        Lag("core", "t", 1, 5, 9, 4, 1.0),
        Lag("models", "t", 0, 0, 10, 10, None),
    ]
    assert worst(found, "core") == (7, 4.0)
    assert worst(found, "models") == (10, 0.0)
