"""Helpers for integration tests: append raw records, run the core over the whole log, compare tables."""

from collections.abc import Sequence
from contextlib import closing
from functools import cache
from typing import Any

import psycopg
from confluent_kafka import Producer
from psycopg import sql

from refold.schemas.codec import Codec, encode_claim, encode_rejection
from refold.schemas.codec import Rejection as RejectionBody
from refold.schemas.contracts import Event
from refold.schemas.meta import Claim, Meta
from refold.streams.chunk import Place
from refold.streams.core.fold import CoreFold
from refold.streams.domain import load_domains
from refold.streams.kafka import clients
from refold.streams.kafka.log_reader import LogReader
from refold.streams.log.history import History
from refold.streams.log.topics import ensure_topics, events_topic
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.postgres.connection import connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.settings import Settings
from refold.streams.worker.ports import ChunkFold

DOMAINS = load_domains(["retail"])
CODEC = Codec(DOMAINS.catalog)
CORE_TABLES = ("claims", "positions", "streams", "stream_offsets", "outcomes", "voids")


def prepare(settings: Settings) -> None:
    """Topics and tables."""
    with connect(settings.dsn(), application_name="test") as db:
        bootstrap(db)
        when_kafka_answers(lambda: ensure_topics(settings, DOMAINS, db))


def append(settings: Settings, category: str, part: int, records: Sequence[tuple[bytes | None, bytes | None]]) -> None:
    """Write raw (key, value) records to a partition of a category's events, in this order."""
    producer = raw_producer(settings.kafka_servers())
    for key, value in records:
        producer.produce(events_topic(settings.topic_prefix, category), value, key, partition=part)
    assert producer.flush(30) == 0


@cache
def raw_producer(servers: str) -> Producer:
    """One for all tests. It is not idempotent: a broker takes half a second to give each client an id for that."""
    once = {"enable.idempotence": False, "max.in.flight.requests.per.connection": 1}
    return clients.producer(servers, **once)


def encoded(meta: Meta, event: Event) -> tuple[bytes, bytes]:
    return meta.stream.encode(), CODEC.event(meta, event)


def refused(meta: Meta, code: str = "no") -> tuple[bytes, bytes]:
    return meta.stream.encode(), encode_rejection(meta, RejectionBody("OpenBasket", code, "because"))


def claimed(claim: Claim) -> tuple[None, bytes]:
    return None, encode_claim(claim)


def core(settings: Settings) -> CoreFold:
    history = History(settings.kafka_servers(), settings.topic_prefix, DOMAINS)
    return CoreFold(settings.dsn(), settings.topic_prefix, DOMAINS, history)


def fold_all(settings: Settings, records: int = 5000) -> dict[Place, int]:
    """Run the core over all of the log, from its stored positions; returns where it stands."""
    fold = core(settings)
    try:
        return fold_with(settings, fold, records)
    finally:
        fold.close()


def fold_with(settings: Settings, fold: ChunkFold, records: int = 5000) -> dict[Place, int]:
    """Run any fold over all of the log, from its stored positions; returns where it stands."""
    places = [(topic, part) for topic in fold.topics for part in range(settings.partitions)]
    with closing(LogReader(settings.kafka_servers(), fold.stored(places), records=records, keys=True)) as reader:
        kept: dict[Place, Any] = {}
        ends = reader.ends()
        while any(reader.next[place] < ends[place] for place in places):
            for chunk in reader.poll(1.0):
                kept[chunk.place] = kept[chunk.place].then(chunk) if chunk.place in kept else chunk
                reached = fold.apply([kept[chunk.place]])
                rest = kept.pop(chunk.place).since(reached[chunk.place])
                if rest.values:
                    kept[chunk.place] = rest
    return fold.stored(places)


def tables(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the core's tables, in a fixed order; stream_offsets flattened, since chunks cut it differently."""
    with psycopg.connect(settings.dsn()) as db:
        found = {
            name: sorted(
                db.execute(sql.SQL("SELECT * FROM refold.{}").format(sql.Identifier(name))).fetchall(), key=repr
            )
            for name in CORE_TABLES
            if name != "stream_offsets"
        }
        found["stream_offsets"] = db.execute(
            "SELECT category, stream, first_version + n - 1, part, o FROM refold.stream_offsets,"
            " unnest(offsets) WITH ORDINALITY AS t(o, n) ORDER BY 1, 2, 3"
        ).fetchall()
    return found


def rows(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.dsn()) as db:
        return db.execute(query.encode()).fetchall()
