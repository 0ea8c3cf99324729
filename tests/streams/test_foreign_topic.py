"""CloudEvents of a foreign Kafka topic, written by the standard's own SDK: each becomes the command that publishes it, or is kept with its reason."""

import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from msgspec import Meta

from refold.api.cli import publish
from refold.api.http.describe.metrics import own_page
from refold.schemas.avro import schema_of
from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec
from refold.schemas.contracts import Category, Event, publishing
from refold.schemas.errors import BadValue, Malformed
from refold.schemas.identity import fact_uuid
from refold.streams.decider import facts_alone
from refold.streams.domain import Domains
from refold.streams.kafka import clients
from refold.streams.log.topics import commands_topic
from refold.streams.sending.foreign_record import ForeignRecord, fact_of_record
from refold.streams.sending.foreign_topic import ForeignTopic
from refold.streams.worker.taking_part import Part

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
WRITTEN = datetime(2026, 2, 1, tzinfo=UTC)


class Reading(Event):
    """A sensor's reading."""

    celsius: Annotated[Decimal, Meta(description="Temperature.", extra={"precision": 6, "scale": 2})]


SENSOR = Category("plant.sensor", facts=(Reading,))
CATALOG = Catalog((SENSOR,), [schema_of(cls, SENSOR.name) for cls in SENSOR.classes])
DOMAINS = Domains(("plant",), CATALOG.categories, {SENSOR.name: facts_alone(SENSOR)}, {}, CATALOG)


def event(**changes: Any) -> CloudEvent:
    said: dict[str, Any] = {
        "id": "r-1",
        "source": "/plants/7",
        "type": "Reading",
        "subject": "s-1",
        "time": AT,
    } | changes
    data = said.pop("data", {"celsius": "21.5"})
    found = {"specversion": "1.0", "datacontenttype": "application/json"} | said
    return CloudEvent({name: value for name, value in found.items() if value is not ...}, data)


def record(message: KafkaMessage, key: bytes | None = None) -> ForeignRecord:
    return ForeignRecord(key, message.value, list(message.headers.items()), WRITTEN)


BOTH = [to_binary, to_structured]


@pytest.mark.parametrize("mode", BOTH)
def test_a_record_of_either_mode_is_the_same_command(mode: Any) -> None:
    said = event(correlationid="grün"[:2], expectedversion="4")
    found, command = fact_of_record(CATALOG, SENSOR, record(mode(said, JSONFormat())))
    assert command == publishing(Reading(celsius=Decimal("21.50")), "s-1")
    assert (found.command_id, found.source, found.occurred_at) == (fact_uuid("/plants/7", "r-1"), "/plants/7", AT)
    assert (found.correlation_id, found.expected_version) == ("gr", 4)


@pytest.mark.parametrize("mode", BOTH)
def test_the_key_and_the_time_of_the_record_stand_in_for_what_an_event_does_not_say(mode: Any) -> None:
    message = mode(event(subject=..., time=...), JSONFormat())
    found, _ = fact_of_record(
        CATALOG, SENSOR, ForeignRecord(b"s-7", message.value, without(message, "ce_time"), WRITTEN)
    )
    assert found.stream == "s-7"


def without(message: KafkaMessage, name: str) -> list[tuple[str, bytes | None]]:
    return [(held, value) for held, value in message.headers.items() if held != name]


HEADERS: dict[str, bytes | None] = {
    "content-type": b"application/json", "ce_specversion": b"1.0", "ce_id": b"r-1", "ce_source": b"/plants/7",
    "ce_type": b"Reading", "ce_subject": b"s-1",
}  # fmt: skip
GOOD = b'{"celsius": "21.5"}'


def test_a_record_without_a_time_happened_when_it_was_written() -> None:
    found, _ = fact_of_record(CATALOG, SENSOR, ForeignRecord(None, GOOD, list(HEADERS.items()), WRITTEN))
    assert found.occurred_at == WRITTEN


@pytest.mark.parametrize(
    ("headers", "value", "field"),
    [
        ({"ce_id": None}, GOOD, "ce_id"),
        ({"ce_subject": None}, GOOD, "ce_subject"),
        ({"ce_subject": b"\xff"}, GOOD, "ce_subject"),
        ({"ce_type": b"Other"}, GOOD, "ce_type"),
        ({"ce_time": b"now"}, GOOD, "ce_time"),
        ({"ce_source": b"a\x00b"}, GOOD, "ce_source"),
        ({"content-type": b"avro/binary"}, GOOD, "content-type"),
        ({"content-type": b"application/cloudevents-batch+json"}, b"[]", "content-type"),
        ({}, b'{"celsius": "warm"}', "$.celsius"),
        ({}, None, "$"),
        ({"content-type": b"application/cloudevents+json"}, b'{"specversion": "1.0"}', "$"),
    ],
)
def test_a_record_that_is_no_event_is_refused_with_its_place(
    headers: dict[str, bytes | None], value: bytes | None, field: str
) -> None:
    with pytest.raises(BadValue) as refused:
        fact_of_record(CATALOG, SENSOR, ForeignRecord(None, value, list((HEADERS | headers).items()), WRITTEN))
    assert refused.value.field == field


@pytest.mark.parametrize("value", [b"\xff", b"{", b'{"celsius": 1, "celsius": 2}'])
@pytest.mark.parametrize("kind", [b"application/json", b"application/cloudevents+json"])
def test_a_value_that_is_no_json_is_refused(value: bytes, kind: bytes) -> None:
    with pytest.raises(Malformed):
        fact_of_record(
            CATALOG, SENSOR, ForeignRecord(None, value, list((HEADERS | {"content-type": kind}).items()), WRITTEN)
        )


@dataclass
class Topics:
    prefix: str
    foreign: str


@pytest.fixture
def topics(kafka: str) -> Iterator[Topics]:
    prefix, admin = f"{uuid.uuid4().hex}.", AdminClient({"bootstrap.servers": kafka})
    found = Topics(prefix, f"{prefix}readings")
    names = [found.foreign, commands_topic(prefix, SENSOR.name)]
    for future in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        future.result()
    yield found
    for future in admin.delete_topics([*names, f"{found.foreign}.refused"]).values():
        future.result()


def read(kafka: str, topic: str, count: int) -> list[Any]:
    client = clients.consumer(kafka)
    client.assign([TopicPartition(topic, 0, 0)])
    found = client.consume(count, 30)
    client.close()
    return found


class Dies(ForeignTopic):
    """Is killed each time before it commits."""

    def _commit(self, messages: Sequence[Message]) -> None:
        assert messages is not None


@pytest.mark.servers
def test_a_topic_is_followed_without_loss_across_deaths_and_what_is_refused_is_kept(kafka: str, topics: Topics) -> None:
    client = clients.producer(kafka)
    for n in range(20):
        message = BOTH[n % 2](event(id=f"r-{n}", data={"celsius": n}), JSONFormat())
        client.produce(topics.foreign, message.value, b"k", headers=list(message.headers.items()))
        if n == 9:
            client.produce(topics.foreign, b"no event", b"k", headers=[("mine", b"1")])
    assert client.flush(30) == 0

    def follow(kind: type[ForeignTopic]) -> ForeignTopic:
        with kind(kafka, topics.prefix, DOMAINS, SENSOR, topics.foreign) as followed:
            deadline = time.monotonic() + 120
            while followed.taken.published < 20:
                assert time.monotonic() < deadline
                followed.step(0.5)
        return followed

    for kind in (Dies, ForeignTopic):
        taken = follow(kind).taken
        assert (taken.published, taken.refused) == (20, 1)
    with ForeignTopic(kafka, topics.prefix, DOMAINS, SENSOR, topics.foreign) as third:
        client.produce(
            topics.foreign,
            to_structured(event(id="last"), JSONFormat()).value,
            b"k",
            headers=[("content-type", b"application/cloudevents+json")],
        )
        client.flush(30)
        deadline = time.monotonic() + 120
        while not third.step(0.5):
            assert time.monotonic() < deadline
        assert (third.taken.published, third.taken.refused) == (1, 0)
        part = Part()
        part.begins("publish", third, [third])
        assert [(check.name, check.ok) for check in part.checks()] == [
            ("started", True),
            ("assigned", True),
            ("waits", True),
            ("moves", True),
        ]
        (place,) = third.places()
        assert (place, third.positions()[place]) == ((topics.foreign, 0), 22)
        assert (third.last_end(place) or 0) >= 22
    page = own_page([]).decode()
    assert f'refold_foreign_records_total{{outcome="published",topic="{topics.foreign}"}} 41.0' in page

    sent = [
        Codec(CATALOG).read_command(message.value())
        for message in read(kafka, commands_topic(topics.prefix, SENSOR.name), 41)
    ]
    ids = [meta.command_id for meta, _ in sent]
    assert ids == [fact_uuid("/plants/7", f"r-{n}") for n in range(20)] * 2 + [fact_uuid("/plants/7", "last")]
    assert sent[3][1] == publishing(Reading(celsius=Decimal("3.00")), "s-1")
    first, second = read(kafka, f"{topics.foreign}.refused", 2)
    assert (first.value(), first.key(), first.headers()) == (second.value(), second.key(), second.headers())
    said = dict(first.headers())
    assert (first.value(), said["mine"], said["refold_from"]) == (b"no event", b"1", f"{topics.foreign}/0:10".encode())
    assert (said["refold_code"], said["refold_field"]) == (b"bad-value", b"ce_specversion")


class Steps:
    """A topic whose first step is asked to stop by SIGTERM."""

    def __init__(self) -> None:
        self.done = 0

    def step(self, _: float) -> int:
        signal.raise_signal(signal.SIGTERM)
        self.done += 1
        return 1


def test_sigterm_lets_the_records_in_hand_be_taken_and_a_second_one_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refold.streams.worker.taking_part.HERE", Part())
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    followed, stop = Steps(), publish._stop_asked()
    try:
        publish._follow(followed, stop, once=False)  # type: ignore[arg-type]  # steps alone
        assert followed.done == 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
