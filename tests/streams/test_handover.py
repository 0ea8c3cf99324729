"""Tests which places are read on during a rebalance, by given, when, then, and by any order of what the group does."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from refold.streams.chunk import Place
from refold.streams.worker.handover import KEEP_S, Handover

P: Place = ("t", 0)
Q: Place = ("t", 1)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_is_taken_away_is_kept_until_the_second_assignment_after_it(clock: Clock) -> None:
    found = Handover(clock)
    assert found.begin([P, Q]) == []
    assert found.assigned([]) == [], "the first belongs to the join that took the places away"
    assert found.assigned([]) == [P, Q]
    assert found.assigned([]) == []


def test_a_place_that_is_given_back_is_given_up_first_with_all_others(clock: Clock) -> None:
    found = Handover(clock)
    found.begin([P, Q])
    assert found.assigned([P]) == [P, Q]


def test_a_second_rebalance_ends_the_first(clock: Clock) -> None:
    found = Handover(clock)
    found.begin([P])
    found.assigned([])
    assert found.begin([Q]) == [P]
    assert found.assigned([]) == []
    assert found.assigned([]) == [Q]


def test_nothing_is_kept_for_longer_than_a_session(clock: Clock) -> None:
    found = Handover(clock)
    found.begin([P])
    clock.now = KEEP_S - 0.1
    assert found.overdue() == []
    clock.now = KEEP_S
    assert found.overdue() == [P]
    assert found.overdue() == []
    assert KEEP_S < 6.0, "the session's length in `group_consumer`"


def test_a_consumer_that_closes_keeps_nothing(clock: Clock) -> None:
    found = Handover(clock)
    found.begin([P])
    assert found.close() == [P]
    assert found.begin([Q]) == [Q]
    assert found.overdue() == found.assigned([]) == []


PLACES = st.sets(st.sampled_from([("t", part) for part in range(4)]))


class AnyOrder(RuleBasedStateMachine):
    """A process that follows `Handover` beside a group that gives and takes in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.found = Handover(self.clock)
        self.ours, self.read = set[Place](), set[Place]()
        self.answers, self.taken_at, self.is_closed = 0, 0.0, False

    @precondition(lambda self: not self.is_closed)
    @rule(places=PLACES)
    def assign(self, places: set[Place]) -> None:
        places -= self.ours
        self.give_up(self.found.assigned(sorted(places)))
        assert self.read.isdisjoint(places), "librdkafka refuses to begin with a place that is still read"
        self.ours |= places
        self.read |= places
        self.answers += 1

    @rule(places=PLACES)
    def revoke(self, places: set[Place]) -> None:
        places &= self.ours
        self.ours -= places
        self.give_up(self.found.begin(sorted(places)))
        self.answers, self.taken_at = 0, self.clock.now

    @rule(seconds=st.floats(0.0, 6.0))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.give_up(self.found.overdue())

    @rule()
    def lose(self) -> None:
        self.give_up(sorted(self.ours) + self.found.end())
        self.ours.clear()
        assert not self.read

    @rule()
    def close(self) -> None:
        self.is_closed = True
        self.give_up(self.found.close())

    def give_up(self, places: list[Place]) -> None:
        assert len(set(places)) == len(places)
        assert self.read.issuperset(places), "librdkafka refuses to give up what is not read"
        self.read -= set(places)

    @invariant()
    def ours_is_read(self) -> None:
        assert self.read >= self.ours

    @invariant()
    def only_ours_is_read_once_others_may_own_the_rest(self) -> None:
        if self.answers >= 2 or self.is_closed or self.clock.now - self.taken_at >= KEEP_S:
            assert self.read == self.ours


AnyOrder.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
