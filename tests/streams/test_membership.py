"""Tests when a process counts as forgotten by its group, and when it only waits."""

import pytest

from refold.streams.worker.membership import FORGOTTEN_S, Membership


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_first_assignment_that_does_not_come_is_overdue_once_a_period(clock: Clock) -> None:
    found = Membership(clock)
    assert not found.is_overdue()
    clock.now = FORGOTTEN_S
    assert found.is_overdue()
    assert not found.is_overdue(), "asked again, it is due from then on"
    clock.now = 2 * FORGOTTEN_S
    assert found.is_overdue()


def test_an_assignment_ends_the_wait_and_a_loss_begins_it(clock: Clock) -> None:
    """Whoever was assigned nothing on purpose waits for nothing."""
    found = Membership(clock)
    found.assigned()
    clock.now = 10 * FORGOTTEN_S
    assert not found.is_overdue()
    found.revoked()
    assert not found.is_overdue()
    clock.now = 11 * FORGOTTEN_S
    assert found.is_overdue()
