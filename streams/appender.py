"""The events' side of the log for a handler: one idempotent producer, errors remembered until they are asked for."""

import logging

from confluent_kafka import KafkaError, Message, Producer

from refold.streams import kafka
from refold.streams.topics import events_topic

_log = logging.getLogger(__name__)
_APPEND_S = 10.0


class KafkaLog:
    """An `EventLog` on Kafka. A record without an acknowledgement for 10 s has failed."""

    def __init__(self, servers: str, prefix: str) -> None:
        self._servers, self._prefix = servers, prefix
        self._failed = False
        self._producer = self._new_producer()

    def append(self, category: str, part: int, key: bytes | None, value: bytes) -> None:
        """Queue one record; waits while the queue is full."""
        topic = events_topic(self._prefix, category)
        while True:
            try:
                self._producer.produce(topic, value, key, partition=part, on_delivery=self._reported)
            except BufferError:
                self._producer.poll(0.05)
            else:
                return

    def failed(self) -> bool:
        """Serve the producer's reports; whether one of them was an error."""
        self._producer.poll(0)
        failed, self._failed = self._failed, False
        return failed

    def discard(self) -> None:
        """A new producer; reports of the old one are not for us any more."""
        self._producer.purge()
        self._producer = self._new_producer()
        self._failed = False

    def _reported(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            if not self._failed:
                _log.warning("an append failed: %s", error)
            self._failed = True

    def _new_producer(self) -> Producer:
        return kafka.producer(
            self._servers,
            **{
                "linger.ms": 0.2,
                "message.timeout.ms": int(_APPEND_S * 1000),
                "delivery.report.only.error": True,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 524_288,
            },
        )
