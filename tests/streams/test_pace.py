"""Tests how long a reader gathers: not for few records, until a pause for more, and a fixed time for many."""

from typing import Any

import pytest

from refold.streams.worker import pace
from refold.streams.worker.group_consumer import ReaderConfig
from refold.streams.worker.group_reader import GroupReader
from refold.streams.worker.pace import Pace


class Trickling:
    """A consumer to which one record comes with each look, so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def consume(self, *_: float) -> list[bytes]:
        self.left -= 1
        return [b"v"] * (self.left >= 0 and self.left % 2)


def test_few_records_are_taken_at_once_more_until_none_comes_and_many_by_the_long_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(pace, "GATHER_S", 60.0)
    config = ReaderConfig("", "g", ["t"], 5000, keys=False)
    found: Any = GroupReader(config, lambda _: {}, lambda _: pytest.fail("nothing is handed over"))
    monkeypatch.setattr(found._stopping, "wait", waited.append)
    assert (len(found._gathered(Trickling(4), b"first")), waited) == (2, [0.0])
    for recent, length, pauses in (
        (pace.BUSY_RECORDS, 5, [pace.QUIET_S] * 5),
        (pace.FLOOD_RECORDS, 2, [pace.LONG_S]),
    ):
        waited.clear()
        found._pace.recent = recent
        assert (len(found._gathered(Trickling(8), b"first")), waited) == (length, pauses)


def test_what_arrives_is_remembered_by_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large read is followed by small ones; a hundred a second are few, however they come."""
    now = [100.0]
    monkeypatch.setattr("refold.streams.worker.pace.time.monotonic", lambda: now[0])
    found = Pace(5000, 0.0)

    def after(pattern: list[int]) -> tuple[float, float]:
        for records in pattern * 20:
            now[0] += 0.01
            found.remember(records)
        return found.next()

    assert after([1, 0, 2]) == (0.0, 0.0)
    assert after([20, 1, 1, 2]) == (pace.QUIET_S, pace.GATHER_S)
    assert after([60]) == (pace.LONG_S, 0.0)
    assert after([2500]) == (0.0, 0.0)


def test_who_is_not_waited_for_always_gathers_unless_chunks_are_full() -> None:
    found = Pace(100, 0.1)
    assert found.next() == (0.1, 0.0)
    found.remember(50)
    assert found.next() == (0.0, 0.0)


def test_who_gathers_a_little_gathers_longer_where_there_is_much() -> None:
    found = Pace(5000, 0.02)
    assert found.next() == (0.02, 0.0)
    found.recent = pace.MANY_RECORDS
    assert found.next() == (pace.LONG_S, 0.0)
