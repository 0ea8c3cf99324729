"""Tests a worker's checks of itself: it lives whatever servers do, and takes part if it moves on its places."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from refold.streams import standing
from refold.streams.chunk import Place
from refold.streams.worker.membership import NO_WORD
from refold.streams.worker.taking_part import DEAD_LOOP_S, Part

PLACE = ("retail.basket.events", 0)


@dataclass
class World:
    """A clock, a reader and a worker."""

    now: float = 100.0
    settled: bool = True
    held: list[Place] = field(default_factory=lambda: [PLACE])
    ends: dict[Place, int] = field(default_factory=lambda: {PLACE: 10})
    at: dict[Place, int] = field(default_factory=lambda: {PLACE: 10})
    turns: bool = True

    def __post_init__(self) -> None:
        self.part = Part(lambda: self.now)

    def places(self) -> list[Place]:
        return self.held

    def last_end(self, place: Place) -> int | None:
        return self.ends.get(place)

    def is_settled(self) -> bool:
        return self.settled

    def positions(self) -> Mapping[Place, int]:
        return self.at

    def begun(self) -> "World":
        self.part.begins("core", self, [self])
        self.passes(1)
        return self

    def passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            if self.turns:
                self.part.turns()
            self.part.look()

    def says(self) -> dict[str, tuple[bool, str]]:
        return {check.name: (check.ok, check.detail) for check in self.part.checks()}


def test_a_process_that_is_being_prepared_lives_and_is_not_ready_and_says_what_it_waits_for() -> None:
    world = World(turns=False)
    standing.waits(world, "database-unavailable: Postgres does not answer: connection refused")
    world.passes(500)
    assert world.part.stuck() is None
    assert world.says()["started"] == (False, "it is being prepared")
    assert world.says()["waits"][1].startswith("waits: database-unavailable: Postgres does not answer")
    standing.goes_on(world)


def test_a_process_that_has_caught_up_is_ready_however_long_nothing_comes() -> None:
    world = World().begun()
    world.passes(500)
    assert all(ok for ok, _ in world.says().values())
    assert world.says()["assigned"] == (True, "1 partition")


def test_a_process_to_which_the_group_gave_nothing_stands_by() -> None:
    assert World(held=[]).begun().says()["assigned"] == (True, "no partition: it stands by")


def test_a_group_that_gives_no_word_is_said_and_a_rebalance_is_a_moments() -> None:
    world = World(settled=False, held=[]).begun()
    assert world.says()["assigned"][0] is False
    world.settled = True
    world.passes(1)
    world.settled = False
    world.passes(10)
    assert world.says()["assigned"][0] is True
    world.passes(1)
    assert world.says()["assigned"] == (False, NO_WORD)


def test_slow_is_not_still_and_what_stands_is_named_with_its_position() -> None:
    world = World(at={PLACE: 1}).begun()
    for at in range(2, 5):
        world.passes(30)
        assert world.says()["moves"][0] is True
        world.at = {PLACE: at}
    world.passes(32)
    assert world.says()["moves"] == (
        False,
        "does-not-move: the core does not move on retail.basket.events/0 (stands at 4)",
    )
    world.at = {PLACE: 10}
    world.passes(1)
    assert world.says()["moves"] == (True, "")


def test_a_place_that_is_never_begun_stands_still() -> None:
    world = World(at={}, ends={}).begun()
    world.passes(31)
    assert world.says()["moves"][1].endswith("retail.basket.events/0 (not begun)")
    world.held = []
    world.passes(1)
    assert world.says()["moves"] == (True, "")


def test_a_stopped_process_has_not_stood_still_meanwhile() -> None:
    world = World(at={PLACE: 1}).begun()
    world.now += 3600
    world.passes(1)
    assert world.part.stuck() is None
    assert world.says()["moves"][0] is True


def test_a_wait_is_told_at_once_and_unready_when_it_is_no_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World().begun()
    standing.waits(world, "log-corrupt: retail.basket.events/0 cannot be read from offset 10 on")
    assert world.says()["waits"] == (
        True,
        "waits: log-corrupt: retail.basket.events/0 cannot be read from offset 10 on (0 s)",
    )
    since, why = standing._WAITS[id(world)]
    monkeypatch.setitem(standing._WAITS, id(world), (since - 11, why))
    standing.waits(monkeypatch, why)
    assert world.says()["waits"] == (False, f"waits: {why} (11 s)"), "what two parts wait for is told once"
    standing.goes_on(monkeypatch)
    standing.goes_on(world)
    assert world.says()["waits"] == (True, "")


def test_only_a_dead_event_loop_is_stuck() -> None:
    world = World(at={PLACE: 1}, settled=False).begun()
    standing.waits(world, "kafka-unavailable: it is away")
    world.passes(500)
    assert world.part.stuck() is None
    world.turns = False
    world.passes(int(DEAD_LOOP_S) + 2)
    assert world.part.stuck() == "its event loop has not run for 62 s"


def test_a_process_that_was_told_to_stop_is_not_ready_and_one_with_nothing_to_do_is() -> None:
    world = World().begun()
    world.part.stops()
    assert world.says() == {"started": (False, "this process is stopping")}
    idle = World()
    idle.part.has_nothing_to_do("no configured domain has reactors")
    assert idle.says()["started"] == (True, "no configured domain has reactors")
