"""Rates and remaining times."""

from itertools import count

from refold.api.demo.progress import Pace


def test_the_rate_counts_from_the_first_report() -> None:
    ticks = count(0, 1)
    pace = Pace(1_000, clock=lambda: float(next(ticks)))
    assert pace.words(500) == "500 of 1,000"
    assert pace.words(700) == "700 of 1,000, 100/s, 3 s left"
    assert pace.words(1_000).startswith("1,000 of 1,000, ")


def test_nothing_done_is_no_rate() -> None:
    assert Pace(0).words(0) == "0 of 0"
