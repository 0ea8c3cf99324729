"""Checks whether a topic that was made again under its old name is the tables' own log, restored.

Kafka gives each topic an id, and a restored one has another. Its content shows that it is the same log: it begins at
offset 0, holds everything that was folded, and has the last applied record at its old offset (by SHA-256: each claim
has a new random writer, each event the id of its command). For commands this is the last decided one, whose outcome is
in the tables.
"""

import hashlib
from contextlib import closing

from confluent_kafka import Consumer

from refold.schemas.codec import read_command_envelope
from refold.schemas.errors import Undecodable
from refold.schemas.identity import outcome_key, unreadable_command_uuid
from refold.streams.errors import LogShorter, TopicRecreated
from refold.streams.kafka import clients
from refold.streams.kafka.messages import value_at, watermarks
from refold.streams.postgres.connection import Database

_FOLDED = """
SELECT c.part, p.next_offset - 1, c.last_hash
FROM refold.claims c JOIN refold.positions p ON (p.grp, p.topic, p.part) = ('core', %s, c.part)
WHERE c.category = %s AND p.next_offset > 0 ORDER BY c.part
"""
_DECIDED = (
    "SELECT part, last_command_offset FROM refold.claims WHERE category = %s AND last_command_offset >= 0 ORDER BY part"
)


def holds_what_was_folded(servers: str, topic: str, category: str, db: Database) -> bool:
    """Whether a topic with another id holds the records that were folded; False if none was folded from it.

    Raises TopicRecreated, LogShorter, LogCorrupt, KafkaUnavailable.
    """
    with closing(clients.consumer(servers)) as client:
        if topic.endswith(".events"):
            rows = db.execute(_FOLDED, (topic, category)).fetchall()
            for part, last, digest in rows:
                _check_event(client, topic, part, last, digest)
        else:
            rows = db.execute(_DECIDED, (category,)).fetchall()
            for part, last in rows:
                _check_command(client, db, (topic, part), last, category)
        return bool(rows)


def _check_event(client: Consumer, topic: str, part: int, last: int, digest: bytes) -> None:
    value = _value(client, topic, part, last, "was folded")
    if hashlib.sha256(value or b"").digest()[:16] != digest:
        raise _another(topic, f"the record at {part}@{last} is not the one that was folded")


def _check_command(client: Consumer, db: Database, place: tuple[str, int], last: int, category: str) -> None:
    topic, part = place
    value = _value(client, topic, part, last, "was decided")
    keys = [outcome_key(category, f"~unreadable.{part}", unreadable_command_uuid(topic, part, last).bytes)]
    try:
        meta = read_command_envelope(value)
        keys.append(outcome_key(category, meta.stream, meta.command_id.bytes))
    except Undecodable:
        pass  # such a command was rejected under the id of its place
    if not db.execute("SELECT FROM refold.outcomes WHERE key = ANY(%s)", (keys,)).fetchall():
        raise _another(topic, f"the command at {part}@{last} is not the one that was decided")


def _value(client: Consumer, topic: str, part: int, last: int, was: str) -> bytes | None:
    low, high = watermarks(client, (topic, part))
    if not high:
        raise _another(topic, f"partition {part} is empty, and offset {last} {was}")
    if low:
        raise _another(topic, f"partition {part} begins at offset {low}")
    if high <= last:
        raise LogShorter(
            f"{topic}/{part} was made again and ends at {high}, before offset {last}, which {was}",
            "Restore a log that is at least as new as the database, or a database that is older than the log, or drop the database and fold what is left.",
        )
    return value_at(client, (topic, part), last)


def _another(topic: str, why: str) -> TopicRecreated:
    return TopicRecreated(
        f"the topic {topic} is not the one that the tables were folded from: it was made again, and {why}"
    )
