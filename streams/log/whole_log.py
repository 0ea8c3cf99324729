"""Reads everything in the log at one moment, from the first record on, of every topic of the domains."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing

from confluent_kafka import KafkaException, TopicPartition

from refold.streams.chunk import Chunk, Place
from refold.streams.domain import Domains
from refold.streams.kafka import clients
from refold.streams.kafka.log_reader import LogReader
from refold.streams.kafka.messages import watermarks
from refold.streams.log.stretch import read_until
from refold.streams.log.topics import commands_topic, events_topic
from refold.streams.refusals import of_kafka
from refold.streams.settings import Settings

RECORDS = 50_000
QUEUES = {
    "queued.min.messages": 1_000_000,
    "queued.max.messages.kbytes": 262_144,
    "fetch.max.bytes": 52_428_800,
    "max.partition.fetch.bytes": 8_388_608,
}
_ASK_S = 10.0
_SILENCE_S = 30.0


def places_of(settings: Settings, domains: Domains) -> list[Place]:
    """The existing partitions of the domains' topics. Raises KafkaUnavailable."""
    prefix = settings.topic_prefix
    topics = [
        topic for name in domains.categories for topic in (commands_topic(prefix, name), events_topic(prefix, name))
    ]
    try:
        there = clients.admin(settings.kafka_servers()).list_topics(timeout=_ASK_S).topics
    except KafkaException as problem:
        raise of_kafka(problem.args[0], "Kafka does not list its topics") from problem
    return [(topic, part) for topic in topics if topic in there for part in sorted(there[topic].partitions)]


def whole_log(settings: Settings, places: Sequence[Place]) -> Iterator[tuple[Chunk, int, int]]:
    """Chunks up to the current ends; with each, the count of records read and the count in all.

    Raises KafkaUnavailable, LogTrimmed, LogHole.
    """
    ends = _ends(settings, places)
    whole, done = sum(ends.values()), 0
    with closing(LogReader(settings.kafka_servers(), dict.fromkeys(places, 0), records=RECORDS)) as reader:
        for chunk in read_until(reader, ends, _SILENCE_S):
            done += len(chunk.values)
            yield chunk, done, whole


def raw_per_s(settings: Settings, places: Sequence[Place], most: int) -> float:
    """Records a second that the client alone reads, over at most `most`: an upper bound for any reader."""
    wanted = min(most, sum(_ends(settings, places).values()))
    began, done = time.perf_counter(), 0
    client = clients.consumer(settings.kafka_servers(), **QUEUES)
    try:
        client.assign([TopicPartition(*place, 0) for place in places])
        while done < wanted and time.perf_counter() - began < _SILENCE_S:
            done += len(client.consume(RECORDS, 0.2))
    finally:
        client.close()
    return done / (time.perf_counter() - began)


def _ends(settings: Settings, places: Sequence[Place]) -> dict[Place, int]:
    """The ends, from a client that fetches nothing: after a fetch each answer would wait a tenth of a second."""
    client = clients.consumer(settings.kafka_servers())
    try:
        return {place: watermarks(client, place)[1] for place in places}
    finally:
        client.close()
