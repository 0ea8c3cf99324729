"""Where partitions begin and end, asked by a consumer that reads nothing.

Never by the admin client's `list_offsets`: librdkafka ends the process by an assertion where a broker is started again under that question.
"""

from collections.abc import Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from refold.streams.chunk import Place
from refold.streams.kafka import clients

LATEST, EARLIEST = -1, -2
"""As times: the offset behind the last record, and that of the first one."""


def asker(servers: str) -> Consumer:
    """A consumer for these questions: what a transaction has not committed lies in the log, too."""
    settings: dict[str, Any] = {"isolation.level": "read_uncommitted"}
    return clients.consumer(servers, **settings)


def offsets(client: Consumer, places: Iterable[Place], at: int, seconds: float) -> dict[Place, int]:
    """The offset of each place at LATEST or EARLIEST, by one request a broker. Raises KafkaException."""
    asked = [TopicPartition(topic, part, at) for topic, part in places]
    found = {}
    for each in client.offsets_for_times(asked, timeout=seconds) if asked else ():
        if each.error is not None:
            raise KafkaException(each.error)
        found[each.topic, each.partition] = each.offset
    return found
