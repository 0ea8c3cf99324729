"""The pace of a throttled replay, as arithmetic: what a delay is, when the replay is held back, and that it always goes on."""

from hypothesis import given
from hypothesis import strategies as st

from refold.projections.replay.pace import (
    FIRST_SHARE,
    LEAST_SHARE,
    LONGEST_PAUSE_S,
    TOLERATED_S,
    Delay,
    Delays,
    Pace,
    usual_of,
)

CORE, MODELS = ("core", "retail.basket.events", 0), ("models", "retail.basket.events", 0)


def test_a_delay_is_the_time_from_the_look_that_saw_an_end_to_the_look_that_saw_it_reached() -> None:
    delays = Delays()
    assert delays.look(0.0, {CORE: (5, 5)}) == Delay()
    assert delays.look(1.0, {CORE: (5, 8)}) == Delay(0.0)
    assert delays.look(1.5, {CORE: (6, 9)}) == Delay(0.5, "core"), "it waits still"
    assert delays.look(2.0, {CORE: (8, 9)}) == Delay(1.0, "core"), "it arrived now"
    assert delays.look(2.25, {CORE: (8, 9)}) == Delay(0.75, "core"), "the next one waits"
    assert delays.look(2.5, {CORE: (9, 9)}) == Delay(1.0, "core")
    assert delays.look(2.6, {CORE: (9, 9)}) == Delay()


def test_the_slowest_reader_counts() -> None:
    delays = Delays()
    delays.look(0.0, {CORE: (0, 1), MODELS: (0, 1)})
    assert delays.look(1.0, {CORE: (1, 1), MODELS: (0, 1)}) == Delay(1.0, "core")
    assert delays.look(3.0, {CORE: (1, 1), MODELS: (0, 1)}) == Delay(3.0, "models")


def test_a_worker_that_does_not_run_holds_nothing_back_until_it_moves() -> None:
    delays = Delays()
    delays.look(0.0, {MODELS: (0, 9)})
    since = delays.positions
    delays.look(2.0, {MODELS: (0, 9)})
    delays.leave_out_stuck(since)
    assert delays.look(60.0, {MODELS: (0, 9)}) == Delay()
    assert delays.look(61.0, {MODELS: (4, 9)}) == Delay(61.0, "models")


def test_one_that_is_behind_and_moves_is_not_left_out() -> None:
    delays = Delays()
    delays.look(0.0, {MODELS: (0, 9)})
    since = delays.positions
    delays.look(2.0, {MODELS: (1, 9)})
    delays.leave_out_stuck(since)
    assert delays.look(3.0, {MODELS: (1, 9)}) == Delay(3.0, "models")


def test_it_is_held_back_while_live_work_takes_longer_than_is_usual_and_speeds_up_afterwards() -> None:
    pace = Pace(usual=0.2, share=1.0)
    assert (pace.pause_after(1.0), pace.says) == (0.0, "")
    held = pace.heard(Delay(0.31, "models"))
    assert (held.share, held.pause_after(0.5)) == (0.5, 0.5)
    assert held.says == "held back for live traffic: 50% of the time; models takes 0.31 s, 0.20 s is usual"
    again = held.heard(Delay(0.29, "models"))
    assert 0.5 < again.share < 1.0, "less than one and a half times the usual time"
    assert again.says == f"held back for live traffic: {again.share:.0%} of the time"
    for _ in range(100):
        again = again.heard(Delay(0.1, "core"))
    assert (again.share, again.says) == (1.0, "")


def test_without_traffic_a_short_delay_holds_nothing_back() -> None:
    assert Pace(usual=0.0).heard(Delay(TOLERATED_S, "core")).share > FIRST_SHARE
    assert Pace(usual=0.0).heard(Delay(TOLERATED_S * 1.1, "core")).share < FIRST_SHARE


@given(
    st.floats(0, 10),
    st.lists(st.floats(0, 1000).map(lambda seconds: Delay(seconds, "core")), max_size=50),
    st.floats(0, 100),
)
def test_whatever_live_traffic_does_it_works_a_twentieth_of_the_time(
    usual: float, heard: list[Delay], worked: float
) -> None:
    pace = Pace(usual)
    for delay in heard:
        pace = pace.heard(delay)
    pause = pace.pause_after(worked)
    assert pause >= 0
    assert worked >= LEAST_SHARE * (worked + pause) * (1 - 1e-9)
    assert pause <= max(LONGEST_PAUSE_S, worked)


def test_what_is_usual_leaves_out_the_tenth_that_took_longest() -> None:
    assert usual_of([]) == 0.0
    assert usual_of([Delay(0.1)]) == 0.1
    assert usual_of([Delay(n / 10) for n in range(10, 0, -1)]) == 1.0
    assert usual_of([Delay(n / 100) for n in range(100)]) == 0.9
