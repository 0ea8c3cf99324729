"""Tests that a place is taken for lost only if it stands still while its records could have been taken."""

from collections.abc import Sequence
from threading import Event

import pytest

from refold.streams.chunk import Chunk, Place
from refold.streams.worker import intake as intake_module
from refold.streams.worker.intake import STUCK_EXIT_S, STUCK_SEEK_S, Intake
from tests.streams.flow import Flow

PLACE = ("t", 0)


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Log(Flow):
    """A log whose end moves when the test says so."""

    def __init__(self) -> None:
        super().__init__(PLACE)
        self.last: int | None = 0

    def position(self, _: Place) -> int | None:
        return 0

    def end(self, _: Place) -> int | None:
        return self.last

    def seek(self, _: Place, offset: int) -> int:
        self.told.append(f"seek {offset}")
        return offset


class Quiet:
    """A fold that is given nothing."""

    group, topics = "g", ("t",)

    def stored(self, places: Sequence[Place]) -> dict[Place, int]:
        return dict.fromkeys(places, 0)

    def apply(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        raise AssertionError(chunks)

    def reconnect(self) -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(intake_module, "time", found)
    return found


def look_for(seconds: float, found: Intake, clock: Clock) -> None:
    for _ in range(int(seconds)):
        clock.now += 1.0
        found.check()


def test_what_arrived_during_a_long_transaction_or_while_postgres_was_away_is_not_lost(clock: Clock) -> None:
    """The look that was due meanwhile comes before the records that arrived are taken."""
    log = Log()
    found = Intake(Quiet(), log, 100, Event())
    look_for(3, found, clock)
    clock.now += 2 * STUCK_EXIT_S
    log.last = 10
    found.check()
    assert log.told == []


def test_a_place_that_stands_still_under_the_watch_is_sought_again_and_then_ends_the_process(clock: Clock) -> None:
    log = Log()
    found = Intake(Quiet(), log, 100, Event())
    look_for(3, found, clock)
    log.last = 10
    look_for(STUCK_SEEK_S - 1, found, clock)
    assert log.told == []
    look_for(3, found, clock)
    assert log.told == ["seek 0"]
    with pytest.raises(SystemExit, match="stands at 0 of 10"):
        look_for(STUCK_EXIT_S, found, clock)


def test_a_place_whose_log_ends_nobody_knows_where_is_left_alone(clock: Clock) -> None:
    log = Log()
    found = Intake(Quiet(), log, 100, Event())
    log.last = None
    look_for(2 * STUCK_EXIT_S, found, clock)
    assert log.told == []
