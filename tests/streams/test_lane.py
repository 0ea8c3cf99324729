"""Tests lanes: each folds its own partitions in its own thread, and a lane that waits does not hold up the others."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from refold.streams.chunk import Chunk, Place
from refold.streams.worker.agents import _Host
from refold.streams.worker.group_consumer import ReaderConfig
from refold.streams.worker.group_reader import GroupReader
from refold.streams.worker.lane import Lane, Share

FOUR = 4
"""Chunks that each lane gets, in two offers."""
CONFIG = ReaderConfig("", "g", ["t"], 10, keys=False)


class Folding:
    """A worker that notes what it takes, once it is let."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.threads: set[int] = set()
        self.begun, self.let, self.has_taken = threading.Event(), threading.Event(), threading.Semaphore(0)

    def take(self, chunks: Sequence[Chunk]) -> None:
        self.begun.set()
        assert self.let.wait(60)
        self.threads.add(threading.get_ident())
        self.taken += [chunk.part for chunk in chunks]
        if len(self.taken) == FOUR:
            self.has_taken.release()

    def wake(self) -> None: ...
    def check(self) -> None: ...
    def close(self) -> None: ...
    def is_waiting(self) -> bool:
        return False

    def positions(self) -> dict[Place, int]:
        return {}


class Assigned:
    """A reader with five partitions of two topics."""

    def places(self) -> list[Place]:
        return [(topic, part) for topic in ("a", "b") for part in range(5)]

    def assignments(self) -> dict[Place, int]:
        return {place: number for number, place in enumerate(self.places())}


def chunk(part: int, records: int = 1) -> Chunk:
    return Chunk("t", part, 0, [b"x"] * records)


def test_every_partition_is_of_one_lane_and_each_topic_is_spread() -> None:
    shares = [Share(Assigned(), number, 2) for number in range(2)]  # type: ignore[arg-type]  # it is asked no more than this
    assert [place[1] for place in shares[0].places()] == [0, 2, 4] * 2
    assert sorted(shares[0].places() + shares[1].places()) == Assigned().places()
    assert {**shares[0].assignments(), **shares[1].assignments()} == Assigned().assignments()


@pytest.mark.parametrize("held", [0, 1])
def test_a_lane_that_waits_holds_up_the_reader_and_not_the_other_lane(held: int) -> None:
    async def run() -> None:
        workers, stopping = [Folding(), Folding()], threading.Event()
        host: Any = _Host("core", CONFIG, lambda _: {}, lambda *_: pytest.fail("no worker is made"))
        host.lanes = [Lane(CONFIG, worker, stopping) for worker in workers]
        host._reader = reader = GroupReader(CONFIG, lambda _: {}, lambda _: pytest.fail("nothing is read"))
        reader._ends["t", 0] = 1000
        workers[1 - held].let.set()
        folding = [asyncio.create_task(lane.fold_for_ever()) for lane in host.lanes]
        await host.offer([chunk(part) for part in range(4)])
        assert await asyncio.to_thread(workers[held].begun.wait, 60), "the held lane does not begin"
        offered = asyncio.create_task(host.offer([chunk(part, 30) for part in range(4)]))
        await asyncio.to_thread(workers[1 - held].has_taken.acquire, timeout=60)
        assert not offered.done()
        assert workers[held].taken == []
        assert reader.end(("t", 0)) is None, "what waits behind the held lane's chunks would be taken for lost"
        workers[held].let.set()
        await asyncio.wait_for(offered, 60)
        assert reader.end(("t", 0)) == 1000
        await asyncio.to_thread(workers[held].has_taken.acquire, timeout=60)
        stopping.set()
        await asyncio.gather(*folding)
        assert [worker.taken for worker in workers] == [[0, 2, 0, 2], [1, 3, 1, 3]]
        assert [len(worker.threads) for worker in workers] == [1, 1]
        assert workers[0].threads != workers[1].threads

    asyncio.run(run())
