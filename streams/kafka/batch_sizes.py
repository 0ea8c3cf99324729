"""Caches the largest batch that each topic takes. A producer's thread asks here after a refusal."""

import time
from collections.abc import Callable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from refold.streams.kafka import clients

_KNOWN_S = 1.0
"""Seconds that an answer is used. A setting may change at any time, but a thousand refused records make one
question."""
_ASK_S = 3.0
"""Seconds to wait for an answer: the producer's other reports wait meanwhile."""


class BatchSizes:
    """Used by one thread at a time."""

    def __init__(self, servers: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._servers, self._clock = servers, clock
        self._client: AdminClient | None = None
        self._known: dict[str, tuple[int, float]] = {}

    def of(self, topic: str) -> int:
        """The largest batch, in bytes, that the topic recently took. Raises KafkaException."""
        size, until = self._known.get(topic, (0, 0.0))
        if self._clock() < until:
            return size
        self._client = self._client or clients.admin(self._servers)
        try:
            size = clients.largest_batch(self._client, topic, _ASK_S)
        except KafkaException:
            self._client = None  # the next question uses a new client, in case this one is at fault
            raise
        self._known[topic] = size, self._clock() + _KNOWN_S
        return size
