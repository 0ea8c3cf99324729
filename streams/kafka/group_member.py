"""A member of a consumer group that reads nothing: Kafka says which partitions are this process's work.

The client speaks the group's protocol in a thread; partitions are assigned and paused. When a member comes or goes, all let
go of their places and get new ones. Nobody waits longer than SILENT_S for a member that is silent.
"""

import logging
from collections.abc import Iterable, Sequence
from threading import Event, Lock, Thread
from typing import Any

from confluent_kafka import OFFSET_END, KafkaException, TopicPartition

from refold.streams.chunk import Place
from refold.streams.kafka import clients

SILENT_S = 10.0
"""Seconds after which Kafka gives the places of a silent member to others."""
_POLL_S = 0.1
_log = logging.getLogger(__name__)


class GroupMember:
    """One member, from its making until `close`. `take` and `is_changing` are called by the thread that works on the places."""

    def __init__(self, servers: str, group: str, topics: Iterable[str]) -> None:
        self._lock, self._let_go, self._closing = Lock(), Event(), Event()
        self._held: set[Place] = set()
        self._wanted_back: set[Place] = set()
        self._is_placed = self._is_changing = False
        self._consumer = clients.consumer(
            servers,
            **{
                "group.id": group,
                "partition.assignment.strategy": "range",  # it divides each topic, so each member gets as much of the largest
                "session.timeout.ms": int(SILENT_S * 1000),
                "heartbeat.interval.ms": 1000,
                "max.poll.interval.ms": 600_000,
            },
        )
        self._consumer.subscribe(
            sorted(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        self._thread = Thread(target=self._run, name="group-member", daemon=True)
        self._thread.start()

    @property
    def is_placed(self) -> bool:
        """Whether Kafka has given this member its share, which may be empty."""
        return self._is_placed

    @property
    def is_alive(self) -> bool:
        """Whether the client has met no error that it cannot mend."""
        return self._thread.is_alive()

    def is_changing(self) -> bool:
        """Whether the share is another one than that taken last."""
        return self._is_changing

    def take(self) -> frozenset[Place]:
        """The places to work on from now on. Let go of all others before: nothing of them is in memory."""
        with self._lock:
            self._held -= self._wanted_back
            self._wanted_back = set()
            self._is_changing = False
            self._let_go.set()
            return frozenset(self._held)

    def close(self) -> None:
        """Leave the group, so that others get the places at once."""
        self._closing.set()
        self._let_go.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._consumer.poll(_POLL_S)  # paused: no record comes, and an error is told by librdkafka's log
        except KafkaException as problem:
            _log.warning("this command leaves the group that divides the work: %s", problem)
        finally:
            self._consumer.close()

    def _on_assign(self, consumer: Any, found: Sequence[TopicPartition]) -> None:
        ends = [TopicPartition(part.topic, part.partition, OFFSET_END) for part in found]
        consumer.assign(ends)
        consumer.pause(ends)
        with self._lock:
            self._held = _places(found)
            self._is_placed = self._is_changing = True

    def _on_revoke(self, _consumer: Any, found: Sequence[TopicPartition]) -> None:
        """Wait until the working thread has let go of the places; the client gives them back after this call."""
        with self._lock:
            self._wanted_back = _places(found)
            self._is_changing = True
            self._let_go.clear()
        if not self._closing.is_set():
            self._let_go.wait()

    def _on_lost(self, _consumer: Any, found: Sequence[TopicPartition]) -> None:
        """Others have the places already, since this process was silent."""
        with self._lock:
            self._held -= _places(found)
            self._is_changing = True


def _places(found: Sequence[TopicPartition]) -> set[Place]:
    return {(part.topic, part.partition) for part in found}
