"""Follows a topic into which other systems write CloudEvents, and sends the command that publishes each.

Invariant: a record's offset is committed only once Kafka has its command, or has the record itself in `<topic>.refused`. So a death
at any moment repeats some records and leaves none out; a repeated event has the same command id, and no second effect.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import NewTopic

from refold.schemas.contracts import Category
from refold.schemas.errors import BadValue, Malformed, RefoldError
from refold.streams import metrics
from refold.streams.chunk import Place
from refold.streams.domain import Domains
from refold.streams.errors import CommandTooLarge, DeliveryFailed, KafkaUnavailable, QueueFull
from refold.streams.kafka import clients
from refold.streams.sending.foreign_record import ForeignRecord, fact_of_record
from refold.streams.sending.producer import Delivered, Producer

RECORDS = 1000
_BEGINNING = -2
"""Kafka's own number for the first record."""
FLUSH_S = 60.0
_ASK_S = 30.0
_PAUSE_S = 0.01
_ROOM_FOR_REASON = 1 << 16
_MOST_OF_REASON = 2000
_TOPIC_REMEDY = (
    "Correct its name, or make it: the systems that write events into it, or their operator, choose its partitions."
)
_OTHERS_GO_ON = frozenset(
    {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS}
)
"""A commit that fails with these belongs to a process that has lost its partitions: their next owner repeats the records."""


@dataclass
class Taken:
    """Numbers of records so far: whose commands Kafka has, and which were refused."""

    published: int = 0
    refused: int = 0


class ForeignTopic:
    """Follows one topic for one category. Any number of processes may share the topic's partitions: they are one group."""

    def __init__(self, servers: str, prefix: str, domains: Domains, category: Category, topic: str) -> None:
        """Raises KafkaUnavailable if the topic is not there."""
        self._catalog, self._category, self.topic = domains.catalog, category, topic
        self.refused_topic, self.taken = f"{topic}.refused", Taken()
        self._server = servers
        size = self._ready()
        self._producer = Producer(servers, prefix, domains)
        self._refusals = clients.producer(servers, **{"message.max.bytes": size})
        group = f"{prefix}facts.{category.name}.{topic}"
        self._positions: dict[Place, int] = {}
        self._ends: dict[Place, int] = {}
        self._settled = False
        self._consumer = clients.consumer(servers, **{"group.id": group})
        self._consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._consumer.close()
        with contextlib.suppress(DeliveryFailed):  # step has raised it, and committed nothing of it
            self._producer.close()

    def places(self) -> list[Place]:
        """The partitions of this process. Like the next three, asked by the probes in a thread of their own."""
        return list(self._positions)

    def last_end(self, place: Place) -> int | None:
        """The end of a partition, as far as it is known."""
        return self._ends.get(place)

    def is_settled(self) -> bool:
        """Whether the group has given out its partitions; it may have left none for this process."""
        return self._settled

    def positions(self) -> dict[Place, int]:
        """The offsets that were committed last, or begun with."""
        return dict(self._positions)

    def step(self, seconds: float) -> int:
        """Take the records that come within `seconds`; returns their number. Raises KafkaUnavailable, DeliveryFailed."""
        try:
            messages = self._consumer.consume(RECORDS, seconds)
        except KafkaException as problem:
            raise KafkaUnavailable(f"{self.topic}: {problem.args[0]}") from problem
        for message in messages:
            if (error := message.error()) is not None:
                raise KafkaUnavailable(f"{self.topic}: {error}")
        refused = self._send(messages)
        self._keep(refused)
        self._commit(messages)
        self._note(messages)
        self.taken.published += len(messages) - len(refused)
        self.taken.refused += len(refused)
        metrics.FOREIGN.labels(self.topic, "published").inc(len(messages) - len(refused))
        metrics.FOREIGN.labels(self.topic, "refused").inc(len(refused))
        return len(messages)

    def _note(self, messages: Sequence[Message]) -> None:
        """Note how far the partitions are taken, and their ends, which the consumer knows from its last answer."""
        for message in messages:
            place = self.topic, message.partition() or 0
            if place in self._positions:
                self._positions[place] = (message.offset() or 0) + 1
        for topic, part in self.places():
            _, end = self._consumer.get_watermark_offsets(TopicPartition(topic, part), cached=True)
            if end >= 0:
                self._ends[topic, part] = end

    def _assigned(self, consumer: Consumer, parts: list[TopicPartition]) -> None:
        """Begin where the group stands, or at the first record: a committed offset that is gone is an error, and no jump."""
        found = consumer.committed(parts, _ASK_S) if parts else []
        self._positions = {(part.topic, part.partition): max(part.offset, 0) for part in found}
        self._settled = True
        for part in found:
            if part.offset < 0:
                part.offset = _BEGINNING
        consumer.assign(found)

    def _revoked(self, _: Consumer, __: list[TopicPartition]) -> None:
        self._positions, self._settled = {}, False

    def _send(self, messages: Sequence[Message]) -> list[tuple[Message, RefoldError]]:
        """Send the command of each record in order; returns those that never can be sent, once Kafka has all others."""
        refused: list[tuple[Message, RefoldError]] = []
        failed: list[tuple[Message, DeliveryFailed]] = []
        for message in messages:
            try:
                self._send_one(message, _noting(message, failed))
            except (BadValue, Malformed, CommandTooLarge) as problem:
                refused.append((message, problem))
        self._producer.flush(FLUSH_S)
        for message, failure in failed:
            if not isinstance(failure, CommandTooLarge):
                raise failure
            refused.append((message, failure))
        return refused

    def _send_one(self, message: Message, on_delivery: Delivered) -> None:
        found, command = fact_of_record(self._catalog, self._category, _record(message))
        until = time.monotonic() + FLUSH_S
        while True:
            try:
                self._producer.send(
                    command,
                    command_id=found.command_id,
                    expected_version=found.expected_version,
                    occurred_at=found.occurred_at,
                    actor=found.source,
                    correlation_id=found.correlation_id,
                    on_delivery=on_delivery,
                )
            except QueueFull:
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return

    def _keep(self, refused: Sequence[tuple[Message, RefoldError]]) -> None:
        """Keep refused records until Kafka has them all. Raises DeliveryFailed."""
        lost: list[KafkaError] = []
        for message, problem in refused:
            self._refuse(message, problem, lost)
        if self._refusals.flush(FLUSH_S) or lost:
            raise DeliveryFailed(f"{self.refused_topic}: {next(iter(lost), 'no answer in time')}")

    def _refuse(self, message: Message, problem: RefoldError, lost: list[KafkaError]) -> None:
        """Keep the record as it came, with the reason."""
        field = (
            problem.field if isinstance(problem, BadValue) else problem.place if isinstance(problem, Malformed) else ""
        )
        said = {
            "refold_code": problem.code,
            "refold_reason": problem.message[:_MOST_OF_REASON],
            "refold_field": field[:_MOST_OF_REASON],
            "refold_from": f"{message.topic()}/{message.partition()}:{message.offset()}",
        }
        headers = [*(message.headers() or []), *((name, text.encode(errors="replace")) for name, text in said.items())]

        def report(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                lost.append(error)

        try:
            self._refusals.produce(
                self.refused_topic, message.value(), message.key(), headers=headers, on_delivery=report
            )
        except (BufferError, KafkaException) as error:
            raise DeliveryFailed(f"{self.refused_topic}: {error}") from error

    def _commit(self, messages: Sequence[Message]) -> None:
        ends = {message.partition(): message.offset() + 1 for message in messages}
        if not ends:
            return
        try:
            self._consumer.commit(
                offsets=[TopicPartition(self.topic, part, offset) for part, offset in ends.items()], asynchronous=False
            )
        except KafkaException as problem:
            if problem.args[0].code() not in _OTHERS_GO_ON:
                raise KafkaUnavailable(f"{self.topic}: {problem.args[0]}") from problem

    def _ready(self) -> int:
        """Make the topic of refused records; returns the bytes that it takes at once. Raises KafkaUnavailable."""
        admin = clients.admin(self._server)
        try:
            size = clients.largest_batch(admin, self.topic) + _ROOM_FOR_REASON
            config = {"retention.ms": "-1", "max.message.bytes": str(size)}
            wanted = NewTopic(self.refused_topic, num_partitions=1, config=config)
            admin.create_topics([wanted], operation_timeout=_ASK_S)[self.refused_topic].result()
        except KafkaException as problem:
            if problem.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise KafkaUnavailable(f"{self._server} has no topic {self.topic}", _TOPIC_REMEDY) from problem
            if problem.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise KafkaUnavailable(f"{self.topic}: {problem.args[0]}") from problem
        return size


def _noting(message: Message, failed: list[tuple[Message, DeliveryFailed]]) -> Delivered:
    def delivered(problem: DeliveryFailed | None) -> None:
        if problem is not None:
            failed.append((message, problem))

    return delivered


def _record(message: Message) -> ForeignRecord:
    key = message.key()
    _, millis = message.timestamp()
    at = datetime.fromtimestamp(max(millis, 0) / 1000, UTC)
    return ForeignRecord(key.encode() if isinstance(key, str) else key, message.value(), message.headers() or [], at)
