"""Makes every Kafka client of Refold, with the settings that correctness depends on and quiet logs."""

import contextlib
import logging
import re
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from refold.streams.errors import BadSettings, KafkaRefused
from refold.streams.journal.about import about
from refold.streams.kafka_login import options_of

MAX_MESSAGE_BYTES = (1 << 20) + 65_536
"""Bytes that our topics take at once: a record has at most 1 MiB, the rest is for its key and Kafka's overhead."""
LEAST_MESSAGE_BYTES = 1 << 20
"""Least bytes that a topic made by others must take, as Kafka's default does. The few records between this and our own
limit are refused one by one."""
_ASK_S = 10.0
_REFUSES_S = 0.5
_TRY_S = 1.0
_LOGIN_REMEDY = (
    "Correct the file that kafka_config names (docs/configuration.md), or the user's rights, and start again."
)
_REFUSED = KafkaError._TRANSPORT  # noqa: SLF001 - librdkafka's own codes have such names
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:/\s]+):(?P<port>[0-9]{1,5})")
_AROUND_BYTES = 128
"""Overhead bytes of a batch and a record besides key and value: 61 and some 20, and what compression may add."""
_AROUND_HEADER_BYTES = 10
"""Most bytes that the lengths of a header's name and value take."""
BATCH_BYTES = 1_000_000
"""librdkafka's own limit of a batch in bytes, unless it is set."""
_PARTS = 3
_THREAD = re.compile(r"^\[thrd:.*?\]: ")
_BROKER = re.compile(r"^(?:GroupCoordinator: )?([^ /]+:\d+)(?:/\w+)?: ")
_MOMENT = re.compile(r" \(after \d+ ?ms .*\)$")
_COMMON: dict[str, Any] = {
    "reconnect.backoff.ms": 100,
    "reconnect.backoff.max.ms": 1000,
    "socket.connection.setup.timeout.ms": 5000,
    "topic.metadata.refresh.interval.ms": 60_000,
    "client.id": "refold",
}


class _Heard(logging.Filter):
    """Filters librdkafka's lines, and tells which of them report the same fault, whichever client or thread writes.

    Dropped are faults that mend themselves and need no action: a broker that has just started and gives no producer ids
    yet (`GETPID … retrying`), and cluster facts that a client does not know yet and asks for again (`METADATAUPDATE`).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Each record has a facility, a client, and a text with a thread in front and changing numbers after it.

        A broker is named by its address alone: it has another name as a bootstrap server, by its id, and as a coordinator.
        """
        if not isinstance(record.args, tuple) or len(record.args) != _PARTS:
            return True
        facility, _, text = map(str, record.args)
        words = _MOMENT.sub("", _BROKER.sub(r"\1: ", _THREAD.sub("", text)))
        record.__dict__.update(about(words=f"{facility} {words}"))
        return facility != "METADATAUPDATE" and not (facility == "GETPID" and text.endswith("retrying"))


_log = logging.getLogger("librdkafka")
"""Logger for each client's lines, instead of the process's standard error."""
_log.addFilter(_Heard())


@contextlib.contextmanager
def _taken_by_librdkafka(servers: str) -> Iterator[None]:
    """Raises BadSettings for a name or a value from the file of settings that librdkafka cannot use."""
    try:
        yield
    except KafkaException as problem:
        error: KafkaError = problem.args[0]
        if options_of(servers) and error.name() == "_INVALID_ARG":
            raise BadSettings(f"kafka_config: {error.str()}") from None
        raise


def consumer(servers: str, **settings: Any) -> Consumer:
    """A consumer that never moves by itself: positions are ours, and a missing offset is an error, not a jump.

    Checksums are checked, which librdkafka does not do by default.
    """
    with _taken_by_librdkafka(servers):
        return Consumer(
            {
                **_COMMON,
                "fetch.queue.backoff.ms": 10,
                **options_of(servers),
                "bootstrap.servers": servers,
                "group.id": "refold-unused",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "check.crcs": True,
                "fetch.wait.max.ms": 100,
                "queued.min.messages": 100_000,
                "queued.max.messages.kbytes": 131_072,
                "allow.auto.create.topics": False,
                **settings,
            },
            logger=_log,
        )


def producer(servers: str, **settings: Any) -> Producer:
    """An idempotent producer, acknowledged by all replicas, that partitions keys as Java's and aiokafka's do."""
    with _taken_by_librdkafka(servers):
        return Producer(
            {
                **_COMMON,
                "compression.type": "lz4",
                **options_of(servers),
                "bootstrap.servers": servers,
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "allow.auto.create.topics": False,
                **settings,
            },
            logger=_log,
        )


def admin(servers: str) -> AdminClient:
    """The client that creates and describes topics."""
    with _taken_by_librdkafka(servers):
        return AdminClient({**_COMMON, **options_of(servers), "bootstrap.servers": servers}, logger=_log)


def check_answers(servers: str, seconds: float) -> None:
    """Ask Kafka for anything, to know soon that it is away: other questions wait longer. Raises KafkaException.

    librdkafka tries addresses that refuse it until the time is over. If all of them refuse, that is known at once.
    """
    if all(_refuses(address.strip()) for address in servers.split(",")):
        raise KafkaException(KafkaError(_REFUSED, f"nothing listens at {servers}"))
    if not check_login(servers, seconds):
        admin(servers).list_topics(timeout=seconds)


def check_login(servers: str, seconds: float = _ASK_S) -> bool:
    """Learn soon that Kafka refuses our login. Whether Kafka was asked and answered.

    Raises KafkaRefused; all other errors are left to the questions that follow.
    librdkafka tries a refused login again for ever, and reports that no server answers.
    """
    if not options_of(servers):
        return False
    heard: list[KafkaError] = []
    settings = {**_COMMON, **options_of(servers), "bootstrap.servers": servers, "error_cb": heard.append}
    with _taken_by_librdkafka(servers):
        client = Producer(settings, logger=_log)  # an admin client does not tell its errors
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        with contextlib.suppress(KafkaException):
            client.list_topics(timeout=min(left, _TRY_S))
            return True
        client.poll(0)
        if refused := next(filter(_refuses_login, heard), None):
            why = _MOMENT.sub("", refused.str())
            raise KafkaRefused(f"Kafka refuses the login: {why} ({refused.name()})", _LOGIN_REMEDY)
    return False


def _refuses_login(error: KafkaError) -> bool:
    """Whether a broker, or this client's check of its certificate, says no. A lost connection is none of them."""
    return error.name() in {"_AUTHENTICATION", "_SSL"} or " alert " in error.str()


def _refuses(address: str) -> bool:
    """Whether nothing listens at an address. One that cannot be read or found, or says nothing, is left to librdkafka."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return False
    try:
        socket.create_connection((found["host"].strip("[]"), int(found["port"])), _REFUSES_S, all_errors=True).close()
    except ExceptionGroup as problems:  # one for each address of a name
        return all(isinstance(one, ConnectionRefusedError) for one in problems.exceptions)
    except (OSError, OverflowError):
        return False
    return False


def largest_batch(client: AdminClient, topic: str, seconds: float = _ASK_S) -> int:
    """The most bytes of records that a topic takes at once: its current max.message.bytes. Raises KafkaException."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (future,) = client.describe_configs([resource], request_timeout=seconds).values()
    return int(future.result()["max.message.bytes"].value)


def fits(largest: int, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> bool:
    """Whether the topic surely takes a record alone, however little it can be compressed."""
    return taken(key, value) + sum(len(name) + len(held) + _AROUND_HEADER_BYTES for name, held in headers) <= largest


def taken(key: bytes | None, value: bytes) -> int:
    """The most bytes that a record counts against its topic's max.message.bytes."""
    return len(key or b"") + len(value) + _AROUND_BYTES
