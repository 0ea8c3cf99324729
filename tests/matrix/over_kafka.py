"""The producer, and records that nobody of ours wrote: in a topic of commands, in a topic of events, of any schema."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

from msgspec.structs import replace

from refold.retail.schemas.basket import BasketAbandoned, BasketOpened, Cause, ItemScanned, OpenBasket
from refold.retail.schemas.product import PRODUCT
from refold.schemas.binary import long_bytes
from refold.schemas.meta import CommandMeta, Meta
from refold.streams.sending.producer import Producer
from tests.matrix.rows import Row
from tests.schemas.test_hostile import resized
from tests.streams.broker import CODEC, DOMAINS, encoded
from tests.streams.logs import record

Records = list[tuple[bytes | None, bytes | None]]
UNKNOWN = (7 << 24 | 7).to_bytes(4)
YEARS = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))


@dataclass(frozen=True)
class Sending:
    """What a program does with a producer: `away` points it at no broker, `queue` is what it may hold."""

    act: Callable[[Producer], object]
    away: bool = False
    queue: int = 100


def opened(stream: str, text: str = "") -> OpenBasket:
    return OpenBasket(basket_id=stream, store_id=1, household_id=text)


def many(producer: Producer) -> None:
    for number in range(1000):
        producer.send(opened(f"b{number}"), command_id=uuid4())


def flushed(producer: Producer) -> None:
    producer.send(opened("b"), command_id=uuid4())
    producer.flush()


def acked(producer: Producer) -> None:
    asyncio.run(producer.send_acked(opened("b"), command_id=uuid4()))


SENDINGS: dict[str, tuple[Sending, str]] = {
    "a record over the limit": (
        Sending(lambda p: p.send(opened("b", "h" * (1 << 20)), command_id=uuid4())),
        "413 record-too-large",
    ),
    "a stream id that cannot be": (Sending(lambda p: p.send(opened("../b"), command_id=uuid4())), "422 bad-value"),
    "a lone surrogate": (Sending(lambda p: p.send(opened("b", "\ud800"), command_id=uuid4())), "422 bad-value"),
    "a full queue": (Sending(many, away=True), "503 queue-full"),
    "a delivery that fails": (Sending(flushed, away=True), "503 delivery-failed"),
    "a delivery that fails, awaited": (Sending(acked, away=True), "503 delivery-failed"),
}
ROWS = [Row("producer", name, *row) for name, row in SENDINGS.items()]


def command(stream: str) -> bytes:
    meta = CommandMeta(command_id=uuid4(), category="retail.basket", stream=stream, occurred_at=datetime.now(UTC))
    return CODEC.command(meta, opened(stream))


def of_product(stream: str) -> bytes:
    """A command that its own category would take."""
    value = command(stream)
    return value[:1] + DOMAINS.catalog.current(PRODUCT.commands[0]).id.to_bytes(4) + value[5:]


Mutation = Callable[[str], tuple[bytes | None, bytes | None]]
"""From a stream's name to a key and a value."""
COMMANDS: dict[str, Mutation] = {
    "no magic byte": lambda s: (s.encode(), b"\1" + command(s)[1:]),
    "text": lambda s: (s.encode(), b"hello"),
    "an unknown schema": lambda s: (s.encode(), b"\0" + UNKNOWN + command(s)[5:]),
    "cut off": lambda s: (s.encode(), command(s)[:-1]),
    "cut off, size corrected": lambda s: (s.encode(), resized(command(s)[:-1])),
    "bytes behind it": lambda s: (s.encode(), command(s) + b"\0"),
    "bytes behind it, size corrected": lambda s: (s.encode(), resized(command(s) + b"\0")),
    "another schema of like shape": lambda s: (s.encode(), of_product(s)),
    "no value": lambda s: (s.encode(), None),
    "an empty key": lambda s: (b"", command(s)),
    "no key": lambda s: (None, command(s)),
    "another key": lambda s: (b"x" + s.encode(), command(s)),
}
ROWS += [Row("Kafka record, command", name, act, "rejected command-unreadable") for name, act in COMMANDS.items()]


def of_50_mb(stream: str) -> bytes:
    """A sound command that the broker takes, because it looks at what the compression left."""
    return resized(command(stream)[:-1] + long_bytes(50 << 20) + b"h" * (50 << 20))


ROWS += [
    Row("Kafka record, command", "a text of 50 MB", lambda s: (s.encode(), of_50_mb(s)), "rejected events-refused"),
]


def of_an_endless_name(stream: str) -> bytes:
    """A sound command whose sender's name would not leave even a refusal any room."""
    meta = CommandMeta(command_id=uuid4(), category="retail.basket", stream=stream, occurred_at=datetime.now(UTC))
    return CODEC.command(replace(meta, actor="a" * ((1 << 20) - 130)), opened(stream))


ROWS += [
    Row(
        "Kafka record, command",
        "an actor of 1 MiB",
        lambda s: (s.encode(), of_an_endless_name(s)),
        "rejected events-refused",
    ),
]
ROWS += [Row("Kafka record, command", "no headers", lambda s: (s.encode(), command(s)), "accepted")]


@dataclass(frozen=True)
class At:
    """The writer whose turn it is, and the stream of the row."""

    writer: str
    stream: str

    def meta(self, seq: int = 0, base: int = 0) -> Meta:
        return record(self.writer, seq, f"{self.stream}.{seq}", self.stream, base)


OPENED = BasketOpened(store_id=3)
SCANNED = ItemScanned(store_id=3, product_id=7, quantity=1, amount=Decimal("1.25"), discount=Decimal("0.00"))
ABANDONED = BasketAbandoned(store_id=3, cause=next(iter(Cause)), note="r")


def event(at: At) -> bytes:
    return encoded(at.meta(), OPENED)[1]


def under(at: At, schema_id: int) -> bytes:
    value = event(at)
    return value[:1] + schema_id.to_bytes(4) + value[5:]


def a_retired_event() -> int:
    """A store and a text: where the household is left out, the bytes are those of an opened basket."""
    return DOMAINS.catalog.event_writers("retail.basket", "BasketVoided")[0].id


def a_product_event() -> int:
    return DOMAINS.catalog.current(PRODUCT.events[0]).id


EVENTS: dict[str, tuple[Callable[[At], Records], str]] = {
    "no magic byte": (lambda at: [(at.stream.encode(), b"\1" + event(at)[1:])], "foreign"),
    "an unknown schema": (lambda at: [(at.stream.encode(), b"\0" + UNKNOWN + event(at)[5:])], "parked unknown-schema"),
    "cut off": (lambda at: [(at.stream.encode(), event(at)[:-1])], "foreign"),
    "cut off, size corrected": (lambda at: [(at.stream.encode(), resized(event(at)[:-1]))], "parked malformed"),
    "bytes behind it": (lambda at: [(at.stream.encode(), event(at) + b"\0")], "foreign"),
    "bytes behind it, size corrected": (
        lambda at: [(at.stream.encode(), resized(event(at) + b"\0"))],
        "parked trailing",
    ),
    "another category's schema": (
        lambda at: [(at.stream.encode(), under(at, a_product_event()))],
        "parked wrong-topic",
    ),
    "a command's schema": (
        lambda at: [(at.stream.encode(), under(at, DOMAINS.catalog.current(OpenBasket).id))],
        "parked wrong-topic",
    ),
    # An id is its schema's fingerprint, so there is nothing else to check: these bytes are such a record.
    "another schema of equal shape": (
        lambda at: [(at.stream.encode(), under(at, a_retired_event()))],
        "counted",
    ),
    "a text that says 50 MB": (
        lambda at: [(at.stream.encode(), resized(encoded(at.meta(), ABANDONED)[1][:-2] + b"\x80\xe1\xeb\x17r"))],
        "parked malformed",
    ),
    "no value": (lambda at: [(at.stream.encode(), None)], "foreign"),
    "an empty key": (lambda at: [(b"", event(at))], "foreign"),
    "no key": (lambda at: [(None, event(at))], "foreign"),
    "another key": (lambda at: [(b"x" + at.stream.encode(), event(at))], "foreign"),
    "another category in the envelope": (
        lambda at: [encoded(replace(at.meta(), category="retail.product"), OPENED)],
        "void",
    ),
    "no headers": (lambda at: [encoded(at.meta(), OPENED)], "counted"),
    "a version left out": (lambda at: [encoded(at.meta(base=5), SCANNED)], "void"),
    "a version again": (lambda at: [encoded(at.meta(), OPENED), encoded(at.meta(1), SCANNED)], "void"),
    "a seq left out": (lambda at: [encoded(at.meta(3), OPENED)], "void"),
    "a writer without a claim": (lambda at: [encoded(replace(at.meta(), writer=UUID(int=9)), OPENED)], "void"),
    "year 1": (lambda at: [encoded(replace(at.meta(), occurred_at=YEARS[0]), OPENED)], "counted"),
    "year 9999": (lambda at: [encoded(replace(at.meta(), occurred_at=YEARS[1]), OPENED)], "counted"),
}
ROWS += [Row("Kafka record, event", name, *row) for name, row in EVENTS.items()]


# No contract of the reference domain has lists; the decoders are asked with the schemas that test_hostile tries under a memory cap.
BYTES = ["array bomb", "array bomb of six bytes", "string of 50 MB", "array of negative count"]
ROWS += [Row("Kafka record, any schema", name, name, "malformed") for name in BYTES]
ROWS += [Row("broker", "a value of 50 MB", 50 << 20, "MSG_SIZE_TOO_LARGE")]
