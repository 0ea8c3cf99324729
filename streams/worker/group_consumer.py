"""The librdkafka consumer of a group of ours, as `reader` drives it."""

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
    """What distinguishes one reader from another. `pace_s`: nobody waits for its answer, so it gathers so long for each read and transaction."""

    servers: str
    group: str
    topics: Sequence[str]
    records: int
    keys: bool
    pace_s: float = 0.0


def group_consumer(config: ReaderConfig) -> Consumer:
    """A member of the group, not subscribed yet."""
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
    """Where nobody waits for long, let the broker gather: each fetch costs it a good part of a millisecond."""
    return (
        {"fetch.min.bytes": _GATHER_BYTES, "fetch.wait.max.ms": int(pace_s * 1000)} if pace_s >= _GATHER_FROM_S else {}
    )


def read_from(client: Consumer, place: Place, offset: int) -> bool:
    """Read a place of ours from an offset; whether that could be asked for. librdkafka keeps a pause over both."""
    try:
        client.incremental_unassign([TopicPartition(*place)])
        client.incremental_assign([TopicPartition(*place, offset)])
    except KafkaException as problem:
        told = journal.about(problem, place=place, offset=offset)
        _log.warning("cannot seek %s/%s yet: %s", *place, problem.args[0], extra=told)
        return False
    return True


def check_position(client: Consumer, place: Place, offset: int) -> None:
    """A log that does not hold the position ends the process; a broker that is away is waited for by librdkafka. Raises LogRefused."""
    with contextlib.suppress(KafkaUnavailable):
        check_range(client, place, offset)
