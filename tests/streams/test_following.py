"""Tests when a fold that follows the core asks Postgres, and when a notice spares the question."""

from collections.abc import Sequence
from threading import Event

import pytest

from refold.streams.chunk import Chunk, Place
from refold.streams.postgres.notices import GAP, POLL_S, CorePositions, read_notice
from refold.streams.worker.fold_worker import FollowingWorker
from refold.streams.worker.intake import Intake
from tests.streams.flow import Flow

PLACE = ("p.retail.basket.events", 3)
OTHER = ("p.retail.household.events", 0)


class Core:
    """A fold that goes as far as `upto`, and counts how often it was asked."""

    group, topics = "models", (PLACE[0],)

    def __init__(self) -> None:
        self.upto, self.asked = 0, 0

    def stored(self, places: Sequence[Place]) -> dict[Place, int]:
        return dict.fromkeys(places, 0)

    def apply(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        self.asked += 1
        return {chunk.place: max(chunk.start, min(chunk.end, self.upto)) for chunk in chunks}

    def reconnect(self) -> None: ...
    def close(self) -> None: ...


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def core() -> Core:
    return Core()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def worker(core: Core, clock: Clock) -> FollowingWorker:
    found = FollowingWorker(Intake(core, Flow(PLACE), 100, Event()), core, clock)
    found.wake()
    return found


def chunk(start: int, records: int = 2) -> Chunk:
    return Chunk(*PLACE, start, [b"x"] * records)


def told(offset: int) -> str:
    return f"core/{PLACE[0]}/{PLACE[1]}:{offset}"


def test_a_notice_says_group_place_and_offset() -> None:
    assert read_notice(told(17)) == ("core", PLACE, 17)


def test_what_the_core_has_told_is_believed_until_a_gap() -> None:
    """Only for the place that it told of."""
    found = CorePositions()
    assert found.may_be_beyond(PLACE, 5)
    found.hear(told(5))
    assert (found.may_be_beyond(PLACE, 4), found.may_be_beyond(PLACE, 5)) == (True, False)
    assert found.may_be_beyond(OTHER, 5)
    found.hear(GAP)
    assert found.may_be_beyond(PLACE, 5)


def test_records_wait_for_the_notice_and_postgres_is_not_asked_meanwhile(core: Core, worker: FollowingWorker) -> None:
    worker.hear(told(0))
    worker.take([chunk(0)])
    assert core.asked == 0
    core.upto = 2
    assert worker.hear(told(2))
    worker.wake()
    assert core.asked == 1
    assert not worker.hear(told(4)), "nothing waits: nobody is woken"


def test_what_the_core_has_folded_already_is_folded_at_once(core: Core, worker: FollowingWorker) -> None:
    core.upto = 2
    worker.hear(told(2))
    worker.take([chunk(0)])
    assert core.asked == 1
    assert not worker.hear(told(2))


def test_while_nothing_is_known_it_asks(core: Core, worker: FollowingWorker) -> None:
    worker.take([chunk(0)])
    worker.hear(told(0))
    worker.hear(GAP)
    worker.take([chunk(2)])
    assert core.asked == 2


def test_a_lost_notice_is_made_up_for_however_much_arrives(core: Core, clock: Clock, worker: FollowingWorker) -> None:
    """Arrivals alone never let the poll come; so each of them looks at the clock."""
    worker.hear(told(0))
    core.upto = 1_000
    for number in range(10):
        worker.take([chunk(2 * number)])
        clock.now += POLL_S / 5
    assert core.asked >= 1
