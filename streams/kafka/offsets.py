"""Asks where partitions begin and end, with a consumer that reads nothing.

The admin client's `list_offsets` is not used: librdkafka aborts the process by an assertion if a broker restarts
meanwhile.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from refold.schemas.plurals import counted
from refold.streams.chunk import Place
from refold.streams.kafka import clients
from refold.streams.refusals import of_kafka

LATEST, EARLIEST = -1, -2
"""Values of `at`: the offset after the last record, or the offset of the first one."""


def asker(servers: str) -> Consumer:
    """A consumer for these questions. It counts uncommitted records of transactions too."""
    settings: dict[str, Any] = {"isolation.level": "read_uncommitted"}
    return clients.consumer(servers, **settings)


def offsets(client: Consumer, places: Iterable[Place], at: int, seconds: float) -> dict[Place, int]:
    """The offset of each place at LATEST or EARLIEST, with one request per broker. Raises KafkaException."""
    asked = [TopicPartition(topic, part, at) for topic, part in places]
    found = {}
    for each in client.offsets_for_times(asked, timeout=seconds) if asked else ():
        if each.error is not None:
            raise KafkaException(each.error)
        found[each.topic, each.partition] = each.offset
    return found


def offsets_at(servers: str, places: Sequence[Place], millis: int, seconds: float = 10.0) -> dict[Place, int]:
    """In each place the offset of the first record appended at this time or later; the end if there is none.

    Raises KafkaUnavailable.
    """
    client = asker(servers)
    try:
        found = offsets(client, places, millis, seconds)
        return found | offsets(client, [place for place, at in found.items() if at < 0], LATEST, seconds)
    except KafkaException as problem:
        raise of_kafka(problem.args[0], f"no answer about {counted(len(places), 'partitions')}") from problem
    finally:
        client.close()


def offset_at(servers: str, place: Place, millis: int, seconds: float = 5.0) -> int:
    """The offset of the first record appended at this time or later; the end if there is none. Raises KafkaUnavailable."""
    return offsets_at(servers, [place], millis, seconds)[place]
