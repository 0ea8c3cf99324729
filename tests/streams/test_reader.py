"""Tests the reading thread on a real broker: a paused place flows again wherever reading starts again."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from unittest.mock import MagicMock

import pytest
from confluent_kafka import TopicPartition

from refold.streams.chunk import Chunk, Place
from refold.streams.kafka.messages import cut
from refold.streams.log.topics import events_topic
from refold.streams.settings import Settings
from refold.streams.worker.group_consumer import ReaderConfig
from refold.streams.worker.group_reader import GroupReader
from tests.e2e import tables
from tests.streams.broker import append, claimed, prepare
from tests.streams.logs import claim

CATEGORY, RECORDS = "retail.basket", 20


class Reading:
    """A reader in a thread of its own, and what it hands over."""

    def __init__(self, settings: Settings) -> None:
        self.place = events_topic(settings.topic_prefix, CATEGORY), 0
        self.chunks: list[Chunk] = []
        config = ReaderConfig(settings.kafka_servers(), f"{settings.topic_prefix}g", [self.place[0]], 100, keys=True)
        self.reader = GroupReader(config, lambda places: dict.fromkeys(places, 0), self._put)

    def _put(self, chunks: list[Chunk]) -> "Future[None]":
        self.chunks += chunks
        taken: Future[None] = Future()
        taken.set_result(None)
        return taken

    def read(self) -> int:
        """How many records of the newest seek or assignment have come."""
        return sum(len(chunk.values) for chunk in self.chunks if self.reader.is_current(chunk))


@contextmanager
def reading(settings: Settings) -> Iterator[Reading]:
    found = Reading(settings)
    thread = threading.Thread(target=found.reader.run, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.reader.stop()
        thread.join(60)


def until(holds: Callable[[], bool], complaint: str) -> None:
    tables.until(holds, 60, complaint, 0.02)


@pytest.fixture
def filled(servers: object, settings: Settings) -> Settings:  # noqa: ARG001 - they run
    prepare(settings)
    append(settings, CATEGORY, 0, [claimed(claim("A", epoch)) for epoch in range(1, RECORDS + 1)])
    return settings


@pytest.mark.parametrize(
    ("millis", "year"), [(1_700_000_000_000, 2023), (1_700_000_000_000_000, None), (2**63 - 1, None)]
)
def test_a_time_that_its_producer_took_for_microseconds_stops_nobody(millis: int, year: int | None) -> None:
    """Brokers before Kafka 4 take any time of a command's producer."""
    told = record(7)
    told.configure_mock(**{"timestamp.return_value": (1, millis)})
    (found,) = cut([told])
    assert (found.start, found.last_at.year if found.last_at else None) == (7, year)


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_place_that_was_paused_flows_behind_a_seek(filled: Settings, *, carried_out: bool) -> None:
    """The fold forgets with a seek that it had paused; a pause that is not carried out yet must not come behind the seek."""
    with reading(filled) as found:
        until(lambda: found.read() == RECORDS, "nothing is read")
        found.reader.pause(found.place)
        if carried_out:
            until(lambda: found.reader._places.is_paused(found.place), "the pause is not carried out")
        found.reader.seek(found.place, 0)
        until(lambda: found.read() == RECORDS, "nothing flows behind the seek")


def test_a_place_that_was_paused_and_taken_away_flows_when_it_is_given_back(filled: Settings) -> None:
    with reading(filled) as found:
        until(lambda: found.read() == RECORDS, "nothing is read")
        for place in found.reader.places():
            found.reader.pause(place)
        until(lambda: all(map(found.reader._places.is_paused, found.reader.places())), "the pauses are not carried out")
        with reading(filled) as other:  # takes half of the partitions, and gives them back
            until(lambda: len(other.reader.places()) > 0, "the second reader is given nothing")
            given = set(other.reader.places())
        until(lambda: given <= set(found.reader.places()), "they are not given back")
        came_back = min(given)
        append(filled, CATEGORY, came_back[1], [claimed(claim("B", RECORDS + 1))])
        until(
            lambda: any(c.place == came_back and found.reader.is_current(c) for c in found.chunks),
            "nothing flows of what came back",
        )


def test_a_place_that_moves_is_read_by_its_old_owner_until_the_group_gives_it_to_the_new_one(filled: Settings) -> None:
    """Holds librdkafka to its order: one assignment of the join that takes places away, and one of the join after it."""
    with reading(filled) as found:
        until(lambda: found.read() == RECORDS, "nothing is read")
        told = Told(found.reader)
        with reading(filled) as other:
            until(lambda: len(other.reader.places()) > 0, "the second reader is given nothing")
            given = set(other.reader.places())
            until(lambda: given.isdisjoint(found.reader.places()), "the first reader keeps them")
    assert [(what, given <= read) for what, read in told.calls][:3] == [
        ("revoked", True),
        ("assigned", True),
        ("assigned", False),
    ]


class Told:
    """What the group tells a reader from now on, each with the places that the reader reads then."""

    def __init__(self, reader: GroupReader) -> None:
        self.calls: list[tuple[str, set[Place]]] = []
        self._reader, handover = reader, reader._handover
        reader._handover = MagicMock(wraps=handover)
        self._note(reader._handover.begin, "revoked", handover.begin)
        self._note(reader._handover.assigned, "assigned", handover.assigned)

    def _note(self, mock: Any, what: str, told: Callable[[Iterable[Place]], list[Place]]) -> None:
        def tell(places: Iterable[Place]) -> list[Place]:
            over = told(places)
            self.calls.append((what, set(self._reader.places()) - set(over)))
            return over

        mock.side_effect = tell


def record(offset: int) -> Any:
    """What the reader asks a record of the place t/0."""
    found = MagicMock(**{"topic.return_value": "t", "partition.return_value": 0, "offset.return_value": offset})
    found.configure_mock(**{"error.return_value": None, "timestamp.return_value": (1, 0), "__len__.return_value": 1})
    return found


class Rebalanced:
    """A consumer whose place is taken away and given back, its position elsewhere, between the records of one read."""

    def __init__(self, config: ReaderConfig) -> None:
        self.stored = 100
        self.reader: Any = GroupReader(config, lambda places: dict.fromkeys(places, self.stored), lambda _: Future())
        self.reader._pace = MagicMock(**{"next.return_value": (0.0, 10.0)})
        self.did: list[str] = []
        self.gave_up: list[list[Place]] = []
        self._rebalance(self.reader._assigned)
        self._first = 100
        self._next = iter([[record(101)], [record(50)]])

    def read(self, offset: int) -> list[int]:
        """The starts of the chunks that come of one record with nothing behind it."""
        self._first, self._next = offset, iter([])
        return [chunk.start for chunk in self.reader._take(self)]

    def poll(self, _: float) -> Any:
        return record(self._first)

    def consume(self, *_: object) -> list[Any]:
        some: list[Any] = next(self._next, [])
        if some and some[0].offset() == 101:
            self._rebalance(self.reader._revoked)
        elif some:
            self.stored = 50
            self._rebalance(self.reader._assigned)
        return some

    def _rebalance(self, told: Callable[..., None]) -> None:
        told(self, [TopicPartition("t", 0)])

    def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
        return 0, 1000

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.did += [f"from {each.offset}" for each in partitions]

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        self.gave_up.append([(each.topic, each.partition) for each in partitions])

    def memberid(self) -> str:
        return "m"

    def resume(self, _: object) -> None: ...


def test_what_was_read_before_a_place_was_taken_away_and_given_back_is_read_again_and_no_hole() -> None:
    client = Rebalanced(ReaderConfig("", "g", ["t"], 100, keys=True))
    assert client.reader._take(client) == []
    client.reader._obey(client)
    assert client.did == ["from 100", "from 50", "from 50"]
    assert client.reader.position(("t", 0)) == 50


def test_a_place_that_is_handed_over_is_read_on_and_given_up_when_the_group_has_a_new_owner() -> None:
    client = Rebalanced(ReaderConfig("", "g", ["t"], 100, keys=True))
    client.reader._revoked(client, [TopicPartition("t", 0)])
    assert client.read(100) == [100]
    client.reader._assigned(client, [])
    assert client.read(101) == [101], "this was still the join that took it away"
    assert client.gave_up == [[]]
    client.reader._assigned(client, [])
    assert client.read(102) == []
    assert (client.gave_up, client.reader.places()) == ([[], [("t", 0)]], [])


def test_a_place_that_is_lost_is_given_up_at_once_with_all_that_is_handed_over() -> None:
    client = Rebalanced(ReaderConfig("", "g", ["t"], 100, keys=True))
    client.reader._assigned(client, [TopicPartition("t", 1)])
    client.reader._revoked(client, [TopicPartition("t", 0)])
    client.reader._lost(client, [TopicPartition("t", 1)])
    assert (client.gave_up, client.reader.places()) == ([[], [("t", 1)], [("t", 0)]], [])
