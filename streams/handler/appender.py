"""Appends a handler's records to the events' topics: one idempotent producer, whose errors are kept until asked for."""

import logging
import time

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from refold.streams import journal
from refold.streams.errors import KafkaRefused
from refold.streams.handler.ports import Away
from refold.streams.kafka import clients
from refold.streams.log.cloud_events import HeadersOf, no_headers
from refold.streams.log.topics import events_topic
from refold.streams.refusals import TOO_LARGE, of_kafka

_log = logging.getLogger(__name__)
_APPEND_S, _ASK_AGAIN_S = 10.0, 1.0
_LEAST_BYTES = 1800
"""Bytes into which every claim and every rejection fits."""


class KafkaLog:
    """An `EventLog` on Kafka. A record that is not acknowledged within 10 s has failed.

    Raises KafkaRefused if every record would be refused: for rights, policies, a topic that takes hardly anything.
    """

    def __init__(self, servers: str, prefix: str, headers_of: HeadersOf = no_headers) -> None:
        self._servers, self._prefix, self._headers_of = servers, prefix, headers_of
        self._failed = False
        self._refused: KafkaError | None = None
        self._too_large = set[str]()
        self._largest: dict[str, int] = {}
        self._asked: dict[str, float] = {}
        self._producer = self._new_producer()

    def append(self, category: str, part: int, key: bytes | None, value: bytes) -> None:
        """Queue one record; waits while the queue is full."""
        topic, headers = events_topic(self._prefix, category), self._headers_of(value)
        while True:
            try:
                self._producer.produce(
                    topic, value, key, partition=part, on_delivery=self._reported, headers=headers or None
                )
            except BufferError:
                self._producer.poll(0.05)
            except KafkaException as problem:
                # This producer can no longer go on; its owner discards it, as after any failed append.
                self._has_failed(problem.args[0])
                return
            else:
                return

    def fits(self, category: str, key: bytes, value: bytes) -> bool:
        """Whether the topic takes the record, as far as its limit is known; it is known from the first refusal on."""
        largest = self._largest.get(topic := events_topic(self._prefix, category)) if self._largest else None
        if largest is None:
            return True
        headers = self._headers_of(value)
        # A rejection is permanent, a topic's settings are not.
        return clients.fits(largest, key, value, headers) or clients.fits(
            self._takes_now(topic, largest), key, value, headers
        )

    def _takes_now(self, topic: str, known: int) -> int:
        """The largest batch that a topic takes, in bytes; asked again once a second at most. Raises Away."""
        now = time.monotonic()
        if now - self._asked.get(topic, now - _ASK_AGAIN_S) >= _ASK_AGAIN_S:
            try:
                self._largest[topic] = clients.largest_batch(clients.admin(self._servers), topic)
            except KafkaException as problem:
                raise Away(f"Kafka: {topic} does not report its max.message.bytes: {problem.args[0]}") from problem
            self._asked[topic] = now
        return self._largest.get(topic, known)

    def failed(self) -> bool:
        """Serve the producer's reports; return whether one of them was an error."""
        try:
            self._producer.poll(0)
        except KafkaException as problem:  # a fatal error, which the producer raises once
            self._has_failed(problem.args[0])
        if self._refused is not None:
            raise of_kafka(self._refused, "an event cannot be appended")
        failed, self._failed = self._failed, False
        return failed

    def discard(self) -> None:
        """Replace the producer; reports of the old one no longer concern us."""
        self._producer.purge()
        for topic in self._too_large:
            self._learn(topic)
        self._too_large.clear()
        self._producer = self._new_producer()
        self._failed = False

    def _learn(self, topic: str) -> None:
        """Ask for the largest batch of a topic that refused a record. Raises KafkaUnavailable, KafkaRefused."""
        try:
            largest = clients.largest_batch(clients.admin(self._servers), topic)
        except KafkaException as problem:
            raise of_kafka(problem.args[0], f"{topic} does not report its max.message.bytes") from problem
        if largest < _LEAST_BYTES or largest == self._largest.get(topic):
            raise KafkaRefused(
                f"{topic} refuses records, and has max.message.bytes={largest}",
                remedy=f"Set max.message.bytes={clients.MAX_MESSAGE_BYTES} on the topic, and start again.",
            )
        self._largest[topic] = largest

    def _reported(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            if error.code() in TOO_LARGE:
                self._too_large.add(message.topic() or "")
            elif isinstance(of_kafka(error, ""), KafkaRefused):
                self._refused = error
            self._has_failed(error)

    def _has_failed(self, error: KafkaError) -> None:
        if not self._failed:
            _log.warning("an append failed: %s", error, extra=journal.about(error))
        self._failed = True

    def _new_producer(self) -> Producer:
        return clients.producer(
            self._servers,
            **{
                "linger.ms": 0.2,
                "message.timeout.ms": int(_APPEND_S * 1000),
                "delivery.report.only.error": True,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 524_288,
                **({"batch.size": min(self._largest.values())} if self._largest else {}),
            },
        )
