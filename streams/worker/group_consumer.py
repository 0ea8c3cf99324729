"""Makes and steers the librdkafka consumer that `group_reader` drives."""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

from refold.streams import journal
from refold.streams.chunk import Place
from refold.streams.errors import KafkaUnavailable
from refold.streams.kafka import clients
from refold.streams.kafka.messages import check_range
from refold.streams.operation.members import client_id

_log = logging.getLogger(__name__)

_GATHER_BYTES = 1 << 16
_GATHER_FROM_S = 0.1


@dataclass(frozen=True)
class ReaderConfig:
    """The settings of one reader. `pace_s`: seconds for which it gathers records, if nobody waits for its answer."""

    servers: str
    group: str
    topics: Sequence[str]
    records: int
    keys: bool
    pace_s: float = 0.0


def group_consumer(config: ReaderConfig) -> Consumer:
    """A consumer in the group, not subscribed yet."""
    return clients.consumer(
        config.servers,
        **_gathering(config.pace_s),
        **{
            "group.id": config.group,
            "client.id": client_id(config.group),
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            "max.poll.interval.ms": 300_000,
        },
    )


def _gathering(pace_s: float) -> dict[str, int]:
    """Let the broker gather records for a slow reader: each fetch costs it a good part of a millisecond."""
    return (
        {"fetch.min.bytes": _GATHER_BYTES, "fetch.wait.max.ms": int(pace_s * 1000)} if pace_s >= _GATHER_FROM_S else {}
    )


def read_from(client: Consumer, place: Place, offset: int) -> bool:
    """Read an assigned place from an offset on; give whether that was possible. A pause of the place stays."""
    try:
        client.incremental_unassign([TopicPartition(*place)])
        client.incremental_assign([TopicPartition(*place, offset)])
    except KafkaException as problem:
        told = journal.about(problem, place=place, offset=offset)
        _log.warning("cannot seek %s/%s yet: %s", *place, problem.args[0], extra=told)
        return False
    return True


def check_position(client: Consumer, place: Place, offset: int) -> None:
    """Raises LogRefused if the log does not hold the position. If the broker is away, librdkafka waits for it."""
    with contextlib.suppress(KafkaUnavailable):
        check_range(client, place, offset)
