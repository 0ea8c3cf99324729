"""Tests the states of a reader's places by given, when, then, and by any order of what lanes and the group do."""

from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from refold.streams.chunk import Chunk, Place
from refold.streams.errors import LogHole
from refold.streams.worker.read_places import ReadPlaces, ReadState, Seek

P: Place = ("t", 0)
Q: Place = ("t", 1)


def chunk(place: Place, start: int, records: int = 2) -> Chunk:
    return Chunk(*place, start, [b"x"] * records)


def reading(offset: int | None = 0) -> ReadPlaces:
    places = ReadPlaces()
    places.assigned({P: offset})
    places.begin_read()
    return places


def stamped(places: ReadPlaces, found: Chunk) -> Chunk:
    read = places.stamped(found)
    assert read is not None
    return read


def test_what_is_read_is_current_until_a_seek_is_asked_for() -> None:
    places = reading()
    read = stamped(places, chunk(P, 0))
    assert places.is_current(read)
    generation = places.seek(P, 7)
    assert not places.is_current(read)
    assert (places.position(P), places.offsets()) == (7, {P: 2})
    places.sought(P, Seek(7, generation))
    assert places.seeks() == {}
    assert stamped(places, chunk(P, 7)).generation == generation


def test_a_newer_seek_outlives_an_older_one_that_is_carried_out() -> None:
    places = reading()
    older, newer = places.seek(P, 7), places.seek(P, 3)
    places.sought(P, Seek(7, older))
    assert places.seeks() == {P: Seek(3, newer)}
    assert not places.is_current(stamped(places, chunk(P, 7)))


def test_a_place_that_is_held_back_gives_nothing_until_a_seek_whatever_its_fold_asks() -> None:
    places = reading(None)
    places.resume(P)
    assert places.changes() == {}
    assert places.stamped(chunk(P, 0)) is None
    places.sought(P, Seek(4, places.seek(P, 4)))
    assert places.stamped(chunk(P, 4)) is not None


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_seek_forgets_a_pause(*, carried_out: bool) -> None:
    places = reading()
    places.pause(P)
    if carried_out:
        assert places.changes() == {P: ReadState.PAUSED}
        assert places.is_paused(P)
    places.sought(P, Seek(0, places.seek(P, 0)))
    assert places.changes() == {}
    assert not places.is_paused(P)


def test_a_pause_after_a_seek_holds() -> None:
    places = reading()
    generation = places.seek(P, 0)
    places.pause(P)
    places.sought(P, Seek(0, generation))
    assert places.changes() == {P: ReadState.PAUSED}


def test_what_is_asked_of_a_place_that_is_not_ours_is_forgotten() -> None:
    places = reading()
    places.pause(Q)
    places.seek(Q, 9)
    places.assigned({Q: 5})
    assert (places.changes(), places.seeks(), places.position(Q)) == ({}, {}, 5)


def test_a_place_that_was_revoked_and_given_back_during_a_read_is_read_again() -> None:
    places = reading(100)
    places.revoked([P])
    places.assigned({P: 50})
    assert places.stamped(chunk(P, 100)) is None
    assert {place: seek.offset for place, seek in places.seeks().items()} == {P: 50}


def test_an_offset_that_is_missing_is_a_hole() -> None:
    with pytest.raises(LogHole):
        reading().stamped(chunk(P, 1))


class AnyOrder(RuleBasedStateMachine):
    """One place under lanes, a group and a thread that act in any order; the log holds every offset."""

    def __init__(self) -> None:
        super().__init__()
        self.places, self.fetch = ReadPlaces(), 0
        self.read: list[Chunk] = []
        self.newest = 0

    @rule(offset=st.none() | st.integers(0, 50))
    def assign(self, offset: int | None) -> None:
        self.places.assigned({P: offset})
        self.fetch, self.newest = offset or 0, 0

    @rule()
    def revoke(self) -> None:
        self.places.revoked([P])

    @rule(offset=st.integers(0, 50))
    def seek(self, offset: int) -> None:
        self.newest = self.places.seek(P, offset)

    @rule(pause=st.booleans())
    def ask(self, *, pause: bool) -> None:
        (self.places.pause if pause else self.places.resume)(P)

    @rule()
    def obey(self) -> None:
        for place, seek in self.places.seeks().items():
            self.fetch = seek.offset
            self.places.sought(place, seek)
        self.places.changes()

    @rule(records=st.integers(1, 5))
    def take(self, records: int) -> None:
        self.places.begin_read()
        found = self.places.stamped(chunk(P, self.fetch, records))
        if self.places.position(P) is not None:
            self.fetch += records
        if found is not None:
            self.read.append(found)

    @precondition(lambda self: P not in self.places.ours())
    @invariant()
    def nothing_is_current_of_a_place_that_is_not_ours(self) -> None:
        assert not any(map(self.places.is_current, self.read))

    @invariant()
    def what_is_current_was_read_after_the_newest_seek_without_a_hole(self) -> None:
        current = [read for read in self.read if self.places.is_current(read)]
        assert all(read.generation >= self.newest for read in current)
        assert all(a.end == b.start for a, b in pairwise(current))


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
