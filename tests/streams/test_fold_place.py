"""Tests one place as its fold sees it, by given, when, then."""

from refold.streams.chunk import Chunk
from refold.streams.worker.fold_place import FoldPlace

MOST = 5


def chunk(start: int, records: int, generation: int = 1) -> Chunk:
    return Chunk("t", 0, start, [b"x"] * records, generation=generation)


def waiting(records: int = 3) -> FoldPlace:
    place = FoldPlace()
    assert place.keep(chunk(0, records))
    return place


def test_what_follows_is_kept_behind_what_waits() -> None:
    place = waiting()
    assert place.keep(chunk(3, 2))
    assert place.kept is not None
    assert (place.kept.start, place.kept.end, place.paused) == (0, 5, False)


def test_what_does_not_follow_is_not_kept() -> None:
    place = waiting()
    assert not place.keep(chunk(4, 1))
    assert place.holds(3)


def test_what_was_read_before_a_seek_gives_way() -> None:
    place = waiting()
    assert place.keep(chunk(9, 1, generation=2))
    assert place.kept is not None
    assert place.kept.start == 9


def test_a_reader_pauses_at_too_much_and_goes_on_once_that_is_folded() -> None:
    place = waiting(8)
    assert place.settle(1, now=10.0, most=MOST) is True
    assert (place.paused, place.reached, place.since) == (True, 1, 10.0)
    assert place.settle(2, now=11.0, most=MOST) is None
    assert place.settle(7, now=12.0, most=MOST) is False
    assert place.settle(8, now=13.0, most=MOST) is None
    assert place.kept is None


def test_a_place_that_is_not_moved_stands_since_then() -> None:
    place = waiting()
    place.settle(1, now=10.0, most=MOST)
    place.settle(1, now=20.0, most=MOST)
    assert place.since == 10.0


def test_a_place_that_moved_keeps_nothing_and_is_not_paused() -> None:
    place = waiting(8)
    place.settle(1, now=10.0, most=MOST)
    place.move(4, now=20.0)
    assert (place.kept, place.paused, place.reached, place.since) == (None, False, 4, 20.0)


def test_what_is_dropped_leaves_the_position() -> None:
    place = waiting(8)
    place.settle(1, now=10.0, most=MOST)
    place.drop()
    assert (place.kept, place.paused, place.reached) == (None, False, 1)
    assert not place.holds(1)
