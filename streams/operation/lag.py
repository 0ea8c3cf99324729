"""Measures the lag of handlers and folds behind the log's end: in records, and in seconds by the broker's clock."""

import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException

from refold.streams.chunk import Place
from refold.streams.domain import Domains
from refold.streams.kafka.offsets import LATEST, asker, offsets
from refold.streams.log.topics import commands_topic, events_topic
from refold.streams.operation.presence import handlers_at
from refold.streams.postgres.connection import Database
from refold.streams.refusals import of_kafka
from refold.streams.settings import Settings

HANDLER = "handler"
GROUPS = ("core", "models")
_ASK_S = 5.0
_REMEMBERED = frozenset(
    {KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION}
)
LagKey = tuple[str, str, int]
"""Group, topic, partition."""


@dataclass(frozen=True)
class Lag:
    """The lag of one group on one partition. `seconds` is None before the group has applied anything."""

    group: str
    topic: str
    part: int
    position: int
    end: int
    records: int
    seconds: float | None


class LagReader:
    """Compares stored positions with the topics' ends: of events for the folds, of commands for the handler."""

    def __init__(self, settings: Settings, domains: Domains, reacted: Collection[str] = ()) -> None:
        """Connects at the first question. `reacted`: names of the categories that reactors read."""
        self._servers, self._partitions, prefix = settings.kafka_servers(), settings.partitions, settings.topic_prefix
        self._topics = {name: events_topic(prefix, name) for name in domains.categories}
        self._commands = {name: commands_topic(prefix, name) for name in domains.categories}
        self._reacted = {self._topics[name] for name in reacted}
        self._client: Consumer | None = None
        self._asking = threading.Lock()

    def read(self, db: Database) -> list[Lag]:
        """The lag of each group on each partition, sorted. Raises KafkaUnavailable, psycopg.Error."""
        # Ends are read first: positions read later can only make the lag smaller than it was, never negative for long.
        ends = self._ends([*self._topics.values(), *self._commands.values()])
        rows = db.execute(
            "SELECT grp, topic, part, next_offset, last_at FROM refold.positions WHERE topic = ANY(%s)",
            (list(self._topics.values()),),
        ).fetchall()
        of_events = {place: end for place, end in ends.items() if place[0] in self._topics.values()}
        now = datetime.now(UTC)
        found = lags([*self._handler(db, rows), *rows], ends, now, self._expected(of_events))
        return sorted(found, key=lambda lag: (lag.group, lag.topic, lag.part))

    def ends(self) -> dict[Place, int]:
        """The next offset of every partition of events, from one request. Raises KafkaUnavailable."""
        return self._ends(self._topics.values())

    def _ends(self, topics: Iterable[str]) -> dict[Place, int]:
        places = [(topic, part) for topic in topics for part in range(self._partitions)]
        try:
            with self._asking:
                try:
                    return self._asked(places)
                except KafkaException as problem:
                    self._forget()  # the client may remember for a minute the broker as it was before its restart
                    if problem.args[0].code() not in _REMEMBERED:
                        raise
                    return self._asked(places)
        except KafkaException as problem:
            raise of_kafka(problem.args[0], "Kafka does not say where its topics end") from problem

    def _asked(self, places: list[Place]) -> dict[Place, int]:
        self._client = client = self._client or asker(self._servers)
        return offsets(client, places, LATEST, _ASK_S)

    def _forget(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _expected(self, of_events: Iterable[Place]) -> set[LagKey]:
        places = list(of_events)
        found = {(group, *place) for group in GROUPS for place in places}
        found |= {("reactors", *place) for place in places if place[0] in self._reacted}
        return found | {(HANDLER, topic, part) for topic in self._commands.values() for part in range(self._partitions)}

    def _handler(self, db: Database, rows: Sequence[Sequence[Any]]) -> list[tuple[str, str, int, int, datetime | None]]:
        """A handler's position: after the last command that counts, or after repeats, if it has published that.

        Nothing is appended for a repeated command, so the tables do not show it.
        """
        decided_at = {(topic, part): last_at for group, topic, part, _, last_at in rows if group == "core"}
        said = handlers_at(db)
        claims = db.execute("SELECT category, part, writer, last_command_offset FROM refold.claims").fetchall()
        found = []
        for category, part, writer, last in claims:
            if category in self._commands:
                place, events = (self._commands[category], part), (self._topics[category], part)
                at = max(last + 1, said.get((place, writer), 0))
                found.append((HANDLER, *place, at, decided_at.get(events)))
        return found


def lags(
    rows: Iterable[Sequence[Any]], ends: dict[Place, int], now: datetime, expected: set[LagKey] | None = None
) -> list[Lag]:
    """The lag of each group that has a position or ought to have one, as core and models do everywhere."""
    stored = {(group, topic, part): (at, last_at) for group, topic, part, at, last_at in rows}
    ought = {(group, *place) for group in GROUPS for place in ends} if expected is None else expected
    return [
        _lag(key, stored.get(key, (0, None)), ends[key[1], key[2]], now) for key in sorted(ought | _known(stored, ends))
    ]


def worst(found: Iterable[Lag], group: str) -> tuple[int, float]:
    """A group's lag: records in all partitions, and seconds in its slowest one."""
    ours = [lag for lag in found if lag.group == group]
    return sum(lag.records for lag in ours), max((lag.seconds or 0.0 for lag in ours), default=0.0)


def _known(stored: Iterable[LagKey], ends: dict[Place, int]) -> set[LagKey]:
    return {key for key in stored if (key[1], key[2]) in ends}


def _lag(key: LagKey, stored: tuple[int, datetime | None], end: int, now: datetime) -> Lag:
    position, last_at = stored
    records = max(end - position, 0)
    seconds = None if last_at is None else max((now - last_at).total_seconds(), 0.0)
    return Lag(*key, position, end, records, seconds if records else 0.0)
