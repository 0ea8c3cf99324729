"""How every process of ours speaks to Kafka: the settings that correctness depends on, and quiet logs."""

import logging
import re
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from refold.streams.journal import about

MAX_MESSAGE_BYTES = (1 << 20) + 65_536
"""A record of ours has at most 1 MiB; the rest is for its key and what Kafka puts around it."""
LEAST_MESSAGE_BYTES = 1 << 20
"""What a topic made by others must take: Kafka's default does, and the few commands and events that lie between are refused one by one."""
_ASK_S = 10.0
_AROUND_BYTES = 128
"""What a batch and a record have besides key and value: 61 and some 20, and what compression may add."""
BATCH_BYTES = 1_000_000
"""librdkafka's own bound of a batch, unless it is set."""
_PARTS = 3
_THREAD = re.compile(r"^\[thrd:.*?\]: ")
_MOMENT = re.compile(r" \(after \d+ ?ms .*\)$")
_COMMON: dict[str, Any] = {
    "reconnect.backoff.ms": 100,
    "reconnect.backoff.max.ms": 1000,
    "socket.connection.setup.timeout.ms": 5000,
    "topic.metadata.refresh.interval.ms": 60_000,
    "client.id": "refold",
}


class _Heard(logging.Filter):
    """What of librdkafka's lines is heard, and which of them tell of the same fault, whichever client or thread speaks.

    Left out is what mends itself and leaves nothing to do: a broker that has just started and gives no producer ids yet
    (`GETPID … retrying`), and what a client does not know of the cluster yet and asks for again (`METADATAUPDATE`).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Its records are a facility, a client, and a text with its thread in front and numbers of that moment behind."""
        if not isinstance(record.args, tuple) or len(record.args) != _PARTS:
            return True
        facility, _, text = map(str, record.args)
        words = _MOMENT.sub("", _THREAD.sub("", text))
        record.__dict__.update(about(words=f"{facility} {words}"))
        return facility != "METADATAUPDATE" and not (facility == "GETPID" and text.endswith("retrying"))


_log = logging.getLogger("librdkafka")
"""Each client's lines come here, not to the standard error of the process."""
_log.addFilter(_Heard())


def consumer(servers: str, **settings: Any) -> Consumer:
    """A consumer that never moves by itself: positions are ours, and a missing offset is an error, not a jump.

    Bytes are checked against their sums, which librdkafka does not do by itself.
    """
    return Consumer(
        {
            **_COMMON,
            "bootstrap.servers": servers,
            "group.id": "refold-unused",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "check.crcs": True,
            "fetch.wait.max.ms": 100,
            "fetch.queue.backoff.ms": 10,
            "queued.min.messages": 100_000,
            "queued.max.messages.kbytes": 131_072,
            "allow.auto.create.topics": False,
            **settings,
        },
        logger=_log,
    )


def producer(servers: str, **settings: Any) -> Producer:
    """Idempotent, acknowledged by all replicas, and keys go where Java's and aiokafka's partitioners put them."""
    return Producer(
        {
            **_COMMON,
            "bootstrap.servers": servers,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "allow.auto.create.topics": False,
            **settings,
        },
        logger=_log,
    )


def admin(servers: str) -> AdminClient:
    """The client that creates and describes topics."""
    return AdminClient({**_COMMON, "bootstrap.servers": servers}, logger=_log)


def largest_batch(client: AdminClient, topic: str, seconds: float = _ASK_S) -> int:
    """How many bytes of records a topic takes at once: its max.message.bytes, as it is now. Raises KafkaException."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (future,) = client.describe_configs([resource], request_timeout=seconds).values()
    return int(future.result()["max.message.bytes"].value)


def fits(largest: int, key: bytes | None, value: bytes) -> bool:
    """Whether a record alone is certain to be taken, however little it can be compressed."""
    return taken(key, value) <= largest


def taken(key: bytes | None, value: bytes) -> int:
    """The most that a record takes of its topic's max.message.bytes."""
    return len(key or b"") + len(value) + _AROUND_BYTES
