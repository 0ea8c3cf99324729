"""Tests with a fake clock that a repeated fault gives one line, with counts that add up."""

import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refold.streams.errors import LogShorter
from refold.streams.journal.about import about
from refold.streams.journal.line import Line, line_of
from refold.streams.journal.masking import Masking
from refold.streams.journal.repeats import LONGEST_S, MOST_FAULTS, QUIET_S, Repeats
from tests.streams.spoken import Lines, record


@pytest.fixture
def lines() -> Iterator[Lines]:
    found = Lines()
    yield found
    found.journal.close()


def test_a_fault_is_told_at_once_then_by_counts_that_add_up(lines: Lines) -> None:
    for number in range(100):
        lines.logger.warning("an append failed: %s", f"after {number} ms")
        lines.now += 0.5
    lines.now += QUIET_S
    lines.logger.info("something else")
    found = lines.all()
    assert [line.get("count") for line in found] == [None, 19, 40, 40, None]
    assert 1 + 19 + 40 + 40 == found[3]["total"] == 100
    assert found[0]["message"] == "an append failed: after 0 ms"
    assert found[1]["message"] == "an append failed: after 19 ms (19 times more in 10 s)"
    assert found[3]["message"] == "an append failed: after 99 ms (40 times more in 50 s; over: 100 times in 50 s)"


def test_counts_are_told_by_time_alone() -> None:
    repeats = Repeats()
    for at in (0.0, 1.0, 2.0):
        repeats.take(line_of(record("w"), Masking()), at)
    assert repeats.next_due() == 10.0
    assert [line.count for line in repeats.due(10.0)] == [2]
    assert repeats.next_due() == 2.0 + QUIET_S
    (last,) = repeats.due(2.0 + QUIET_S)
    assert (last.count, last.total) == (0, 3)
    assert repeats.next_due() == float("inf")
    assert repeats.due(1e9) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 40)), max_size=200), st.booleans())
def test_every_coming_of_every_fault_is_counted_once(comings: list[tuple[int, float]], looks: bool) -> None:
    repeats, now, written = Repeats(), 0.0, list[Line]()
    for which, pause in comings:
        now += pause
        if looks:
            written += repeats.due(now)
        written += repeats.take(line_of(record("f%s", name=f"l{which}"), Masking()), now)
    written += repeats.end(now)
    for which in range(4):
        told = [1 if line.count is None else line.count for line in written if line.logger == f"l{which}"]
        assert sum(told) == sum(1 for each, _ in comings if each == which)


@given(st.lists(st.floats(0, 20), min_size=1, max_size=300))
def test_a_fault_has_at_most_one_line_in_ten_seconds(pauses: list[float]) -> None:
    repeats, now, at = Repeats(), 0.0, list[float]()
    for pause in pauses:
        now += pause
        at += [now for _ in repeats.take(line_of(record("f"), Masking()), now)]
    assert all(later - earlier >= 10 for earlier, later in pairwise(at))


def test_the_pause_between_counts_grows_to_its_longest() -> None:
    repeats, at = Repeats(), list[int]()
    for now in range(400):
        at += [now for _ in repeats.take(line_of(record("f"), Masking()), now)]
    assert at == [0, 10, 30, 70, 130, 190, 250, 310, 370]
    assert LONGEST_S == 60


def test_faults_that_are_not_the_same(lines: Lines) -> None:
    said = [
        ("a %s", {}), ("b %s", {}), ("a %s", about(LogShorter("x"))), ("a %s", about(place=("t", 0))), ("a %s", about(place=("t", 1))),
        ("a %s", about(of="one")), ("a %s", about(of="two")), ("%s", {}), ("%s: %s", {}),
    ]  # fmt: skip
    for number in range(3):
        for template, extra in said:
            arguments = [f"word {number}"] * template.count("%s")
            lines.logger.warning(template, *arguments, extra=extra)
        lines.logger.error("a %s", number)
    assert len(lines.all()) == len(said) + 1


def test_errors_of_two_kinds_under_the_same_words_are_two_faults(lines: Lines) -> None:
    for problem in (ValueError("1"), KeyError("2"), ValueError("3")):
        lines.logger.error("it failed", exc_info=problem)
    first, second = lines.all()
    assert "ValueError: 1" in first["exception"]
    assert "KeyError" in second["exception"]


def test_what_is_no_fault_is_never_held_back(lines: Lines) -> None:
    for number in range(5):
        lines.logger.info("assigned %s", number)
        lines.logger.info("again", extra=about(repeats=True))
    assert [line["message"] for line in lines.all()].count("again") == 1
    assert len(lines.all()) == 6


def test_faults_beyond_the_bound_are_told_to_the_end(lines: Lines) -> None:
    for number in range(MOST_FAULTS + 10):
        for _ in range(2):
            lines.logger.warning("w", extra=about(of=number))
    lines.journal.close()
    found = lines.all()
    assert sum(line.get("count", 1) for line in found) == 2 * (MOST_FAULTS + 10)


def test_the_end_of_the_process_tells_what_is_left_and_later_lines_come_at_once(lines: Lines) -> None:
    for _ in range(4):
        lines.logger.warning("w")
    lines.journal.close()
    lines.logger.warning("w")
    assert [(line["message"], line.get("count"), line.get("total")) for line in lines.all()] == [
        ("w", None, None),
        ("w (3 times more in 0 s; at the end of this process: 4 times in 0 s)", 3, 4),
        ("w", None, None),
    ]


def test_counts_are_told_by_many_threads_too(lines: Lines) -> None:
    def say() -> None:
        for _ in range(200):
            lines.logger.warning("w")

    threads = [threading.Thread(target=say) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines.journal.close()
    assert [line.get("count", 1) for line in lines.all()] == [1, 1599]
