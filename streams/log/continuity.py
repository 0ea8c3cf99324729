"""Checks that the tables were folded from this log: it holds their positions and the last applied record."""

import hashlib
import logging
from collections.abc import Callable, Mapping

from confluent_kafka import Consumer

from refold.streams import journal
from refold.streams.chunk import Place
from refold.streams.domain import Domains
from refold.streams.errors import LogCorrupt, LogShorter
from refold.streams.kafka import clients
from refold.streams.kafka.messages import check_range, value_at
from refold.streams.log.topics import events_topic
from refold.streams.postgres.connection import Database
from refold.streams.settings import Settings

_log = logging.getLogger(__name__)

# One statement, so one snapshot: the core may be at work, and a position with another moment's hash would look like
# another log.
_STORED = """
SELECT c.category, c.part, p.next_offset, c.last_hash
FROM refold.claims c
JOIN refold.positions p ON p.grp = 'core' AND p.topic = %s || c.category || '.events' AND p.part = c.part
WHERE p.next_offset > 0 ORDER BY c.category, c.part
"""


def check_continuity(settings: Settings, domains: Domains, db: Database) -> None:
    """Compare all partitions of events with the core's positions. Raises LogTrimmed, LogShorter, KafkaUnavailable."""
    client = clients.consumer(settings.kafka_servers())
    try:
        for category, part, position, last_hash in db.execute(_STORED, (settings.topic_prefix,)).fetchall():
            if category in domains.categories:
                topic = events_topic(settings.topic_prefix, category)
                _check(client, topic, part, position, last_hash)
    finally:
        client.close()


def check_ends(ask: Callable[[], Mapping[Place, int]], db: Database) -> None:
    """Compare the ends of the events with the core's positions, by one request. Raises LogShorter, KafkaUnavailable."""
    rows = db.execute("SELECT topic, part, next_offset FROM refold.positions WHERE grp = 'core'").fetchall()
    ends = ask()  # asked after the positions, since records appended meanwhile never shorten the log
    for topic, part, position in rows:
        if (end := ends.get((topic, part))) is not None and end < position:
            raise LogShorter(f"{topic}/{part} ends at {end}, before the stored position {position}")


def _check(client: Consumer, topic: str, part: int, position: int, last_hash: bytes) -> None:
    check_range(client, (topic, part), position)
    try:
        value = value_at(client, (topic, part), position - 1)
    except LogCorrupt as problem:  # it does not tell whether this is the same log; readers of these bytes stop there
        _log.error(
            "%s: %s. It is unknown whether this is the log that was folded. %s",
            problem.code,
            problem.message,
            problem.remedy,
            extra=journal.about(problem, place=(topic, part), offset=position - 1),
        )
        return
    if hashlib.sha256(value or b"").digest()[:16] != last_hash:
        raise LogShorter(f"{topic}/{part}: the record at {position - 1} is not the one that was folded")
