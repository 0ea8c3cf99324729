"""Tests reading the log's schemas while Kafka goes away."""

import json
from typing import Any

import pytest
from confluent_kafka import KafkaError
from pydantic import SecretStr

from refold.streams.errors import KafkaUnavailable
from refold.streams.kafka import clients
from refold.streams.log import schema_log, topics
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS, prepare

NOWHERE = Settings(kafka="127.0.0.1:9", database_url=SecretStr("postgresql://u@127.0.0.1:9/d"))


def test_a_kafka_that_falls_silent_in_the_middle_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the registry waits for this look, one behind another."""
    asked: list[None] = []

    class Silent:
        def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
            return 0, 3

        def assign(self, _: object) -> None: ...
        def close(self) -> None: ...

        def consume(self, *_: object) -> list[Any]:
            asked.append(None)
            assert len(asked) < 1_000_000, "asked without end"
            return []

    monkeypatch.setattr(schema_log, "_TIMEOUT_S", 0.05)
    monkeypatch.setattr(clients, "consumer", lambda _: Silent())
    with pytest.raises(KafkaUnavailable, match="offset 0 of 3"):
        topics.logged_schemas(NOWHERE)


@pytest.mark.usefixtures("servers")
def test_foreign_records_among_the_schemas_stop_no_start_and_a_schema_taken_away_is_written_again(
    settings: Settings,
) -> None:
    prepare(settings)
    right = topics.logged_schemas(settings)
    own, other = list(right)[:2]
    producer = clients.producer(settings.kafka_servers())

    def refuse(error: KafkaError | None, _: object) -> None:
        assert error is None

    foreign: list[tuple[bytes, bytes | None]] = [
        (b"seven", json.dumps(right[own]).encode()),
        (b"7", json.dumps(right[own]).encode()),
        (str(own).encode(), b"{}"),
        (str(own).encode(), b"not JSON"),
        (b"8", b'{"name": "Opened", "namespace": 8}'),
        (b"9", b"[1, 2]"),
        (b"10", b"\xff"),
        (b"11", None),
        (str(other).encode(), None),
    ]
    for key, value in foreign:
        producer.produce(topics.schemas_topic(settings.topic_prefix), value, key, on_delivery=refuse)
    assert producer.flush(30) == 0

    assert topics.logged_schemas(settings) == {n: schema for n, schema in right.items() if n != other}
    topics.publish_schemas(settings, DOMAINS)
    assert topics.logged_schemas(settings) == right
