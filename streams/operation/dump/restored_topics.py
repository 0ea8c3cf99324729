"""Makes the topics for a restore, and marks them as long as they are incomplete.

The mark is a retention that nobody else sets. A marked topic is refused by all our processes (`log-wrong-settings`),
and a restore that goes on after a kill knows its own topics by it. Records keep their times: the topics use
CreateTime until they are complete.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from refold.streams.chunk import Place
from refold.streams.errors import KafkaUnavailable
from refold.streams.kafka import clients
from refold.streams.kafka.offsets import EARLIEST, LATEST
from refold.streams.log.topics import BEING_RESTORED, new_topics, schemas_topic
from refold.streams.operation.dump.dump import offsets_of
from refold.streams.settings import Settings

_ASK_S = 20.0
_ANY_TIME = str(2**63 - 1)
_MARKED = {
    "retention.ms": BEING_RESTORED,
    "message.timestamp.type": "CreateTime",
    "message.timestamp.after.max.ms": _ANY_TIME,
    "message.timestamp.before.max.ms": _ANY_TIME,
}
_LEAST_LARGEST = "max.message.bytes"


class TopicState(StrEnum):
    """The state of a topic, compared with the dump."""

    ABSENT = "not there"
    EMPTY = "empty"
    BEGUN = "restored in part"
    AS_LONG = "as long as the dump"
    OTHER = "has records"


@dataclass(frozen=True)
class Found:
    """A topic as it is now: the ends of its partitions, none if it does not exist."""

    state: TopicState
    ends: tuple[int, ...]

    @property
    def records(self) -> int:
        """The sum of the partitions' ends."""
        return sum(self.ends)


class RestoredTopics:
    """Reads and changes topics, each by its name with the prefix."""

    def __init__(self, settings: Settings) -> None:
        self._servers, self._settings = settings.kafka_servers(), settings
        self._client = clients.admin(self._servers)

    def look(self, wanted: Mapping[str, Sequence[int]]) -> dict[str, Found]:
        """Each topic's state, compared with the ends that it should have. Raises KafkaException."""
        there = self._client.list_topics(timeout=_ASK_S).topics
        places = [(topic, part) for topic in wanted if topic in there for part in sorted(there[topic].partitions)]
        begins, ends = (offsets_of(self._servers, places, at) for at in (EARLIEST, LATEST))
        marks = self._marked([topic for topic in wanted if topic in there])
        return {topic: _found(topic, wanted[topic], begins, ends, marked=topic in marks) for topic in wanted}

    def end(self, place: Place) -> int:
        """The present end of a partition. Raises KafkaException."""
        return offsets_of(self._servers, [place], LATEST)[place]

    def delete(self, topics: Sequence[str]) -> None:
        """Delete topics. Raises KafkaException, KafkaUnavailable if they stay."""
        if topics:
            for future in self._client.delete_topics(list(topics), operation_timeout=_ASK_S).values():
                future.result()
            self._until(lambda: not set(topics) & self._client.list_topics(timeout=_ASK_S).topics.keys())

    def make(self, partitions: Mapping[str, int], largest: Mapping[str, int]) -> None:
        """Make marked topics with these partitions and room for the dump's largest batches. Raises KafkaException."""
        brokers = len(self._client.list_topics(timeout=_ASK_S).brokers)
        made = new_topics(partitions, self._settings, brokers)[:-1]
        schemas = new_topics([], self._settings, brokers)[0]
        wanted = [each for each in [*made, schemas] if each.topic in partitions]
        for topic in {each.topic: each for each in wanted}.values():
            topic.num_partitions = partitions[topic.topic]
            topic.config = {**(topic.config or {}), **_MARKED, **_room(topic, largest)}
            self._make(topic)
        self._until(lambda: self._are_led(partitions))

    def mark(self, topics: Iterable[str]) -> None:
        """Mark existing, empty topics. Raises KafkaException."""
        for topic in topics:
            self._set(topic, _MARKED)

    def unmark(self, topic: str, *, is_events: bool) -> None:
        """Give a complete topic the usual settings. Raises KafkaException."""
        is_schemas = topic == schemas_topic(self._settings.topic_prefix)
        kept = {} if is_schemas else {"retention.ms": "-1"}
        stamped = {"message.timestamp.type": "LogAppendTime"} if is_events else {}
        self._set(topic, {**dict.fromkeys(_MARKED), **stamped, **kept})

    def _make(self, topic: NewTopic) -> None:
        def made() -> bool:
            try:
                self._client.create_topics([topic], operation_timeout=_ASK_S)[topic.topic].result()
            except KafkaException as problem:
                if problem.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:  # it is still being deleted
                    return False
                raise
            return True

        self._until(made)

    def _are_led(self, partitions: Mapping[str, int]) -> bool:
        there = self._client.list_topics(timeout=_ASK_S).topics
        return all(
            topic in there
            and len(there[topic].partitions) == count
            and all(part.leader >= 0 for part in there[topic].partitions.values())
            for topic, count in partitions.items()
        )

    def _set(self, topic: str, values: Mapping[str, str | None]) -> None:
        entries = [
            ConfigEntry(
                name,
                value or "",
                incremental_operation=AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET,
            )
            for name, value in values.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        for future in self._client.incremental_alter_configs([resource], request_timeout=_ASK_S).values():
            future.result()

    def _marked(self, topics: Sequence[str]) -> set[str]:
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        asked = self._client.describe_configs(resources, request_timeout=_ASK_S) if resources else {}
        return {
            resource.name
            for resource, future in asked.items()
            if future.result()["retention.ms"].value == BEING_RESTORED
        }

    @staticmethod
    def _until(done: Callable[[], bool]) -> None:
        until = time.monotonic() + _ASK_S
        while not done():
            if time.monotonic() > until:
                raise KafkaUnavailable("topics are not deleted, or not made, in time")
            time.sleep(0.2)


def _room(topic: NewTopic, largest: Mapping[str, int]) -> dict[str, str]:
    own = int((topic.config or {}).get(_LEAST_LARGEST, 0))
    most = max(own, largest.get(topic.topic, 0))
    return {_LEAST_LARGEST: str(most)} if most else {}


def _found(
    topic: str, wanted: Sequence[int], begins: Mapping[Place, int], ends: Mapping[Place, int], *, marked: bool
) -> Found:
    of_it = tuple(end for place, end in sorted(ends.items()) if place[0] == topic)
    if not of_it:
        return Found(TopicState.ABSENT, ())
    if marked:
        return Found(TopicState.BEGUN, of_it)
    if len(of_it) == len(wanted) and not any(of_it):
        return Found(TopicState.EMPTY if any(wanted) else TopicState.AS_LONG, of_it)
    begins_at_0 = not any(begin for place, begin in begins.items() if place[0] == topic)
    return Found(TopicState.AS_LONG if begins_at_0 and of_it == tuple(wanted) else TopicState.OTHER, of_it)
