"""How far each group of readers is behind the log's end: in records, and in seconds by the broker's clock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from refold.streams import kafka
from refold.streams.chunk import Place
from refold.streams.domain import Domains
from refold.streams.errors import KafkaUnavailable
from refold.streams.postgres import Database
from refold.streams.refusals import of_kafka
from refold.streams.settings import Settings
from refold.streams.topics import events_topic

GROUPS = ("core", "models")
_ASK_S = 5.0


@dataclass(frozen=True)
class Lag:
    """One group on one partition. `seconds` is None before the group has applied anything."""

    group: str
    topic: str
    part: int
    position: int
    end: int
    records: int
    seconds: float | None


class LagReader:
    """Compares stored positions with the ends of the topics of events."""

    def __init__(self, settings: Settings, domains: Domains) -> None:
        """Connects when it is first asked."""
        self._servers, self._partitions = settings.kafka_servers(), settings.partitions
        self._topics = [events_topic(settings.topic_prefix, name) for name in domains.categories]
        self._client: AdminClient | None = None

    def read(self, db: Database) -> list[Lag]:
        """Each group on each partition, sorted. Raises KafkaUnavailable, psycopg.Error."""
        # Ends first: positions read later can only make the lag smaller than it was, never negative for long.
        ends = self.ends()
        rows = db.execute(
            "SELECT grp, topic, part, next_offset, last_at FROM refold.positions WHERE topic = ANY(%s)", (self._topics,)
        ).fetchall()
        return lags(rows, ends, datetime.now(UTC))

    def ends(self) -> dict[Place, int]:
        """The next offset of every partition, by one request. Raises KafkaUnavailable."""
        self._client = self._client or kafka.admin(self._servers)
        places = [TopicPartition(topic, part) for topic in self._topics for part in range(self._partitions)]
        try:
            asked = self._client.list_offsets(dict.fromkeys(places, OffsetSpec.latest()), request_timeout=_ASK_S)
            return {(place.topic, place.partition): future.result(_ASK_S).offset for place, future in asked.items()}
        except KafkaException as problem:
            raise of_kafka(problem.args[0], "Kafka does not say where its topics end") from problem
        except TimeoutError as problem:
            raise KafkaUnavailable(f"Kafka does not say where its topics end: {problem}") from problem


def lags(rows: Iterable[Sequence[Any]], ends: dict[Place, int], now: datetime) -> list[Lag]:
    """The lag of each group that has a position, and of the two that ought to have one."""
    stored = {(group, topic, part): (at, last_at) for group, topic, part, at, last_at in rows}
    expected = {(group, *place) for group in GROUPS for place in ends}
    return [
        _lag(key, stored.get(key, (0, None)), ends[key[1], key[2]], now)
        for key in sorted(expected | _known(stored, ends))
    ]


def worst(found: Iterable[Lag], group: str) -> tuple[int, float]:
    """All records a group is behind by, and the seconds of its slowest partition."""
    ours = [lag for lag in found if lag.group == group]
    return sum(lag.records for lag in ours), max((lag.seconds or 0.0 for lag in ours), default=0.0)


def _known(stored: Iterable[tuple[str, str, int]], ends: dict[Place, int]) -> set[tuple[str, str, int]]:
    return {key for key in stored if (key[1], key[2]) in ends}


def _lag(key: tuple[str, str, int], stored: tuple[int, datetime | None], end: int, now: datetime) -> Lag:
    position, last_at = stored
    records = max(end - position, 0)
    seconds = None if last_at is None else max((now - last_at).total_seconds(), 0.0)
    return Lag(*key, position, end, records, seconds if records else 0.0)
