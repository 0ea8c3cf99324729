"""What topics take at once, as a producer's thread asks that has met a refusal: each topic once in a while, over one client."""

import time
from collections.abc import Callable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from refold.streams.kafka import clients

_KNOWN_S = 1.0
"""A topic's settings may be changed at any time; a thousand records that it refuses meanwhile are one question."""
_ASK_S = 3.0
"""Every other report of the producer waits meanwhile."""


class BatchSizes:
    """Used by one thread at a time."""

    def __init__(self, servers: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._servers, self._clock = servers, clock
        self._client: AdminClient | None = None
        self._known: dict[str, tuple[int, float]] = {}

    def of(self, topic: str) -> int:
        """The bytes of records that the topic took a moment ago. Raises KafkaException."""
        size, until = self._known.get(topic, (0, 0.0))
        if self._clock() < until:
            return size
        self._client = self._client or clients.admin(self._servers)
        try:
            size = clients.largest_batch(self._client, topic, _ASK_S)
        except KafkaException:
            self._client = None  # the next question goes to a new one, in case it is the client's fault
            raise
        self._known[topic] = size, self._clock() + _KNOWN_S
        return size
