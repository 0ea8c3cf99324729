"""Tests that waiting records are bounded, in number and bytes: reading pauses at the bound, and goes on with room."""

import random
from threading import Event
from typing import Any

import pytest

from refold.schemas.codec import Codec
from refold.streams.chunk import Chunk, Place
from refold.streams.handler import held as held_module
from refold.streams.handler.held import HeldPartition
from refold.streams.handler.holder import Holder
from refold.streams.handler.incoming import CommandReader
from refold.streams.log.state_cache import StateCache
from refold.streams.rules.judge import ClaimState
from refold.streams.worker import fold_place, group_reader
from refold.streams.worker.group_consumer import ReaderConfig
from refold.streams.worker.group_reader import GroupReader
from refold.streams.worker.intake import Intake
from refold.streams.worker.lane import Lane
from tests.streams.broker import DOMAINS
from tests.streams.flow import Flow

PLACE = ("t", 0)
BIG = b"x" * 1000


class Slow:
    """A fold that gets as far as it is allowed to."""

    group, topics = "g", ("t",)

    def __init__(self) -> None:
        self.upto = 0

    def stored(self, places: Any) -> dict[Place, int]:
        return dict.fromkeys(places, 0)

    def apply(self, chunks: Any) -> dict[Place, int]:
        return {chunk.place: max(chunk.start, min(chunk.end, self.upto)) for chunk in chunks}

    def reconnect(self) -> None: ...
    def close(self) -> None: ...


@pytest.mark.parametrize(("most", "most_bytes"), [(30, 1 << 20), (10_000, 30_000)], ids=["records", "bytes"])
def test_a_fold_that_does_not_keep_up_pauses_its_reader(
    most: int, most_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_place, "MOST_BYTES", most_bytes)
    flow, fold = Flow(PLACE), Slow()
    found = Intake(fold, flow, most, Event())
    for start in range(0, 40, 10):
        found.take([Chunk(*PLACE, start, [BIG] * 10)])
    assert flow.told == ["pause"]
    fold.upto = 25
    found.fold()
    assert flow.told == ["pause", "resume"]


def held() -> HeldPartition:
    holder = Holder(random.Random(1))
    commands = CommandReader(Codec(DOMAINS.catalog), "retail.basket", 4)
    return HeldPartition("retail.basket", 0, 1, holder, commands)


def test_commands_that_wait_are_bounded_by_number_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_module, "MOST_OUTSTANDING", 20)
    monkeypatch.setattr(held_module, "MOST_BYTES", 5000)
    found = held()
    found.waiting.append(Chunk(*PLACE, 0, [b""] * 20))
    assert not found.is_full()
    found.waiting.append(Chunk(*PLACE, 20, [b""]))
    assert found.is_full()
    found.waiting.clear()
    found.waiting.append(Chunk(*PLACE, 0, [BIG] * 6))
    assert found.is_full()


def test_what_is_appended_and_not_folded_is_bounded_and_gives_room_once_it_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held_module, "MOST_OUTSTANDING", 3)
    monkeypatch.setattr(held_module, "MOST_BYTES", 5000)
    found = held()
    epoch, writer = found.holder.claim(None)
    row = ClaimState(epoch=epoch, writer=writer)
    found.holder.observe(row, 0.0)
    for number in range(3):
        assert found.has_room()
        found.holder.decided(bytes([number]), 1, 10)
    assert not found.has_room()
    found.holder.observe(ClaimState(epoch, 1, writer, 3), 0.0)
    assert found.has_room()
    found.holder.decided(b"large", 500, 6000)
    assert (found.holder.outstanding, found.has_room()) == (1, False)
    found.holder.observe(ClaimState(epoch, 1, writer, 503), 0.0)
    assert (found.holder.outstanding_bytes, found.has_room()) == (0, True)


def test_a_batch_of_large_commands_is_small() -> None:
    chunk = Chunk(*PLACE, 7, [BIG, None, BIG, BIG])
    assert [chunk.first(9, most).end for most in (10, 1000, 1999, 2000, 9999)] == [8, 9, 9, 10, 11]
    assert chunk.first(2, 9999).end == 9
    assert chunk.first(1, 1).end == 8


class Arrived:
    """A consumer with endless records of 1000 bytes."""

    def __init__(self) -> None:
        self.given = 0

    def consume(self, number: int, _: float) -> list[bytes]:
        self.given += number
        return [BIG] * number


@pytest.mark.parametrize(("records", "expected"), [(5000, 3001), (2500, 2500)])
def test_one_read_takes_so_many_records_or_bytes(records: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_reader, "MOST_BYTES", 2_500_000)
    config = ReaderConfig("", "g", ["t"], records, keys=False)
    found: Any = GroupReader(config, lambda _: {}, lambda _: pytest.fail("nothing is handed over"))
    assert len(found._gathered(Arrived(), BIG)) == expected


@pytest.mark.parametrize(("records", "size", "full"), [(30, 30, True), (29, 30, False), (2, 40_000_000, True)])
def test_what_waits_for_the_next_transaction_is_bounded(records: int, size: int, full: bool) -> None:
    lane: Any = Lane(ReaderConfig("", "g", ["t"], 10, keys=False), None, Event())
    lane.offer([Chunk(*PLACE, 0, [bytes(size // records)] * records)])
    assert lane._is_full() is full


def test_kept_states_are_bounded_by_their_bytes_and_the_oldest_goes_first() -> None:
    cache = StateCache(100)
    for number in range(5):
        cache.put(("c", f"s{number}", "f"), 1, number, 30)
    assert [cache.get(("c", f"s{n}", "f"), 9) for n in range(5)] == [None, None, (1, 2), (1, 3), (1, 4)]
    cache.put(("c", "s2", "f"), 2, "newer", 40)
    assert (cache.size, cache.get(("c", "s2", "f"), 9), cache.get(("c", "s2", "f"), 1)) == (100, (2, "newer"), None)
    cache.put(("c", "s2", "f"), 1, "older", 1)
    assert cache.get(("c", "s2", "f"), 2) == (2, "newer")
    cache.put(("c", "huge", "f"), 1, "huge", 101)
    assert (cache.get(("c", "huge", "f"), 1), cache.size) == (None, 100)
