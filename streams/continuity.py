"""Is this the log that the tables were folded from? Its range holds the positions, and the last record applied is still there."""

import hashlib

from confluent_kafka import Consumer, KafkaException, TopicPartition

from refold.streams import core_store, kafka
from refold.streams.domain import Domains
from refold.streams.errors import KafkaUnavailable, LogShorter
from refold.streams.log import check_range, records_of
from refold.streams.postgres import Database
from refold.streams.settings import Settings
from refold.streams.topics import events_topic

_WAIT_S = 10.0


def check_continuity(settings: Settings, domains: Domains, db: Database) -> None:
    """Compare every partition of events with what the core stored. Raises LogTrimmed, LogShorter, KafkaUnavailable."""
    rows = db.execute(
        "SELECT topic, part, next_offset FROM refold.positions WHERE grp = 'core' AND next_offset > 0"
    ).fetchall()
    stored = {(topic, part): at for topic, part, at in rows}
    client = kafka.consumer(settings.kafka_servers())
    try:
        for name in sorted(domains.categories):
            topic = events_topic(settings.topic_prefix, name)
            claims = core_store.read_claims(db, [(name, part) for t, part in stored if t == topic])
            for (_, part), claim in claims.items():
                _check(client, topic, part, stored[topic, part], claim.last_hash)
    finally:
        client.close()


def _check(client: Consumer, topic: str, part: int, position: int, last_hash: bytes) -> None:
    check_range(client, (topic, part), position)
    value = _record(client, topic, part, position - 1)
    if hashlib.sha256(value or b"").digest()[:16] != last_hash:
        raise LogShorter(f"{topic}/{part}: the record at {position - 1} is not the one that was folded")


def _record(client: Consumer, topic: str, part: int, offset: int) -> bytes | None:
    try:
        client.assign([TopicPartition(topic, part, offset)])
        for _ in range(int(_WAIT_S / 0.5)):
            found = records_of([m for m in (client.poll(0.5),) if m is not None])
            if found:
                value: bytes | None = found[0].value()
                return value
    except KafkaException as problem:
        raise KafkaUnavailable(str(problem.args[0])) from problem
    raise KafkaUnavailable(f"{topic}/{part}: no record at {offset} within {_WAIT_S} s")
