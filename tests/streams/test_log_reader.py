"""Tests the log reader against librdkafka's consumer, on a real broker."""

import random
import time
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from refold.streams.chunk import Chunk, Place
from refold.streams.errors import KafkaUnavailable, LogShorter, LogTrimmed
from refold.streams.kafka import clients
from refold.streams.kafka.fetch import Fetcher
from refold.streams.kafka.log_reader import LogReader

PARTS, RECORDS = 3, 600


@pytest.fixture
def topic(kafka: str) -> Iterator[str]:
    """Records of all codecs, some with headers, some without key or value."""
    name, admin, chance = f"reader-{uuid.uuid4().hex}", AdminClient({"bootstrap.servers": kafka}), random.Random(3)
    admin.create_topics([NewTopic(name, PARTS, 1)])[name].result()
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        producer = Producer({"bootstrap.servers": kafka, "compression.type": codec, "linger.ms": 5})
        for n in range(RECORDS // 5):
            key, value = (None if chance.random() < 0.1 else f"{codec} {n} {text}".encode() * 20 for text in ("k", "v"))
            headers = [("who", b"me")] if chance.random() < 0.1 else []
            producer.produce(name, value, key, partition=n % PARTS, headers=headers)
        assert producer.flush(30) == 0
    yield name
    admin.delete_topics([name])


def expected(kafka: str, topic: str) -> dict[Place, list[tuple[bytes | None, bytes | None]]]:
    client = clients.consumer(kafka)
    client.assign([TopicPartition(topic, part, 0) for part in range(PARTS)])
    found: dict[Place, list[tuple[bytes | None, bytes | None]]] = {(topic, part): [] for part in range(PARTS)}
    while sum(map(len, found.values())) < RECORDS:
        for message in client.consume(1000, 1.0):
            found[topic, message.partition()].append((message.key(), message.value()))
    client.close()
    return found


def read(reader: LogReader, until: dict[Place, int]) -> list[Chunk]:
    chunks: list[Chunk] = []
    deadline = time.monotonic() + 60
    while any(reader.next[place] < end for place, end in until.items()) and time.monotonic() < deadline:
        chunks += reader.poll(0.5)
    return chunks


@pytest.mark.parametrize("records", [7, 10_000])
@pytest.mark.parametrize("start", [0, 33])
def test_every_record_from_the_positions_on(kafka: str, topic: str, records: int, start: int) -> None:
    said = expected(kafka, topic)
    reader = LogReader(kafka, dict.fromkeys(said, start), records=records, keys=True)
    found: dict[Place, list[tuple[bytes | None, bytes | None]]] = {place: [] for place in said}
    for chunk in read(reader, reader.ends()):
        assert chunk.keys is not None
        assert len(chunk.values) <= records
        assert chunk.start == start + len(found[chunk.place])
        assert chunk.last_at is not None
        found[chunk.place] += zip(chunk.keys, chunk.values, strict=True)
    reader.close()
    assert found == {place: all_of_it[start:] for place, all_of_it in said.items()}


def test_it_reads_on_from_where_it_is_sent(kafka: str, topic: str) -> None:
    place = (topic, 0)
    reader = LogReader(kafka, {place: 0}, records=10)
    first = reader.poll(60.0)
    reader.seek(place, 3)
    [again] = reader.poll(60.0)
    reader.close()
    assert [chunk.start for chunk in first] == [0]
    assert again.start == 3
    assert again.values[:7] == first[0].values[3:]


def test_nothing_new_is_no_chunk_after_the_time_asked_for(kafka: str, topic: str) -> None:
    reader = LogReader(kafka, {(topic, 0): 0}, records=10_000)
    read(reader, reader.ends())
    began = time.monotonic()
    assert reader.poll(0.3) == []
    assert time.monotonic() - began > 0.2, "it waits for what may come"
    reader.close()


def test_a_position_that_the_log_does_not_have(kafka: str, topic: str) -> None:
    with pytest.raises(LogShorter):
        LogReader(kafka, {(topic, 0): 10**6}, records=1)
    reader = LogReader(kafka, {(topic, 0): 10}, records=1)
    admin = AdminClient({"bootstrap.servers": kafka})
    for deleted in admin.delete_records([TopicPartition(topic, 0, 50)]).values():
        deleted.result()
    with pytest.raises(LogTrimmed):
        read(reader, {(topic, 0): 200})
    reader.close()
    with pytest.raises(LogTrimmed):
        LogReader(kafka, {(topic, 0): 10}, records=1)


def test_no_broker_is_said_at_once() -> None:
    with pytest.raises(KafkaUnavailable):
        Fetcher("127.0.0.1:1", ["any"])
