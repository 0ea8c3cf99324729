"""Events as CloudEvents: the headers, read back by the standard's own SDK from a real broker; and only for events."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from refold.retail.schemas.basket import BasketOpened
from refold.schemas.codec import Codec, Rejection, encode_claim, encode_rejection
from refold.schemas.meta import Claim, Meta
from refold.streams.domain import load_domains
from refold.streams.handler.appender import KafkaLog
from refold.streams.kafka import clients
from refold.streams.kafka.log_reader import LogReader
from refold.streams.log.cloud_events import cloud_events
from refold.streams.log.topics import events_topic

DOMAINS = load_domains(["retail"])
CODEC = Codec(DOMAINS.catalog)
META = Meta(
    writer=uuid.UUID(int=1), command_id=uuid.UUID(int=2), body_hash=bytes(16), event_id=uuid.UUID(int=3),
    category="retail.basket", stream="b-1", version=7, base_version=6, seq=0, index=0, count=1, command_offset=5,
    occurred_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), recorded_at=datetime(2026, 1, 2, tzinfo=UTC),
    actor=None, correlation_id=None,
)  # fmt: skip
EVENT = BasketOpened(store_id=330)


def headers_of(**changes: Any) -> dict[str, bytes]:
    return dict(cloud_events(DOMAINS.catalog)(CODEC.event(msgspec.structs.replace(META, **changes), EVENT)))


def test_an_events_attributes_are_headers() -> None:
    assert headers_of() == {
        "content-type": b"avro/binary",
        "ce_specversion": b"1.0",
        "ce_id": str(META.event_id).encode(),
        "ce_source": b"/v1/streams/retail/basket",
        "ce_type": b"retail.basket.BasketOpened",
        "ce_subject": b"b-1",
        "ce_time": b"2026-01-02T03:04:05.678901Z",
        "ce_recordedtime": b"2026-01-02T00:00:00Z",
        "ce_sequence": b"0000000000000000007",
        "ce_causationid": str(META.command_id).encode(),
    }


def test_what_was_not_given_has_no_header_and_what_was_is_utf_8() -> None:
    given = headers_of(actor="zoë", correlation_id="r-1")
    assert (given["ce_actor"], given["ce_correlationid"]) == ("zoë".encode(), b"r-1")


CLAIM = encode_claim(Claim(writer=uuid.UUID(int=1), epoch=1, rules=2, claimed_at=META.recorded_at, host="h"))
REJECTION = encode_rejection(META, Rejection("OpenBasket", "no", "because"))


@pytest.mark.parametrize("value", [b"", b"foreign", bytes(5) + (14).to_bytes(4) + b"short", CLAIM, REJECTION])
def test_a_record_that_is_no_event_of_a_domain_has_no_headers(value: bytes) -> None:
    assert cloud_events(DOMAINS.catalog)(value) == []


@pytest.fixture
def prefix(kafka: str) -> Iterator[str]:
    found, admin = f"{uuid.uuid4().hex}.", AdminClient({"bootstrap.servers": kafka})
    topic = events_topic(found, "retail.basket")
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    yield found
    admin.delete_topics([topic])


@pytest.mark.servers
def test_the_standards_sdk_reads_what_a_handler_appends_and_so_does_our_reader(kafka: str, prefix: str) -> None:
    values = [CODEC.event(META, EVENT) for _ in range(3)]
    log, topic = KafkaLog(kafka, prefix, cloud_events(DOMAINS.catalog)), events_topic(prefix, "retail.basket")
    for value in values:
        log.append("retail.basket", 0, b"b-1", value)
    reader = LogReader(kafka, {(topic, 0): 0}, records=100, keys=True)
    found: list[bytes | None] = []
    while len(found) < len(values):
        assert not log.failed()
        for chunk in reader.poll(0.1):
            found += chunk.values
    reader.close()
    assert found == values
    client = clients.consumer(kafka)
    client.assign([TopicPartition(topic, 0, 0)])
    (message,) = client.consume(1, 30)
    headers = {name: held or b"" for name, held in message.headers() or []}
    sent = KafkaMessage(headers=headers, key=message.key(), value=message.value() or b"")
    client.close()
    event = from_binary(sent, OurFormat())
    assert (event.get_id(), event.get_type(), event.get_subject()) == (
        str(META.event_id), "retail.basket.BasketOpened", "b-1",
    )  # fmt: skip
    assert (event.get_time(), event.get_datacontenttype()) == (META.occurred_at, "avro/binary")
    assert event.get_data() == {"event": "BasketOpened", "store_id": 330}
    assert event.get_extension("sequence") == "0000000000000000007"


class OurFormat(JSONFormat):
    """What a consumer of ours would give the SDK, so that it reads Avro."""

    def read_data(self, body: bytes, datacontenttype: str | None) -> dict[str, Any]:
        assert datacontenttype == "avro/binary"
        _, event = CODEC.read_event(body)
        assert isinstance(event, BasketOpened)
        return {"event": type(event).__name__, "store_id": event.store_id}
