"""Reads one stream's events from the log as today's events, by the offsets that the core stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from refold.schemas.codec import Codec, Rejection
from refold.schemas.contracts import Event
from refold.schemas.envelope import framed
from refold.schemas.errors import NewerSchema, Undecodable
from refold.schemas.meta import Meta
from refold.streams import stuck
from refold.streams.domain import AnyDecider, Domains
from refold.streams.errors import DatabaseUnavailable, EventUnreadable, KafkaUnavailable
from refold.streams.kafka import clients
from refold.streams.kafka.messages import moment, records_of
from refold.streams.log.state_cache import StateCache
from refold.streams.log.topics import events_topic
from refold.streams.postgres import set_aside
from refold.streams.postgres.connection import Database

_WAIT_S = 10.0
_NEAR = 2_000
_SLICE = 500
_FEW_AT_A_TIME = {"queued.min.messages": 1, "queued.max.messages.kbytes": 8192, "fetch.wait.max.ms": 5}
NEWEST = 2**62
"""A version greater than any version of a stream."""
PAGE_BYTES = 8 << 20
"""Bytes of one page of events, in memory at once."""
CACHE_BYTES = 32 << 20
"""Bytes of cached states that were folded again: a refused command stores no state, so the next one would fold
again."""


@dataclass(frozen=True)
class Recorded:
    """An event with its envelope and its place in the log.

    `stored_type`: its type in the log. `index`: numbers the events to which one stored event was upcast.
    """

    part: int
    offset: int
    meta: Meta
    event: Event
    stored_type: str
    index: int = 0
    appended_at: datetime | None = None
    """The broker's time of the append."""


Stored = tuple[bytes | None, int]
"""A record's value, and the broker's time of its append in milliseconds."""


class History:
    """Reads single streams from the log, in bounded memory. One consumer, used by one thread at a time."""

    def __init__(self, servers: str, prefix: str, domains: Domains) -> None:
        self.servers, self._prefix = servers, prefix
        self._codec = Codec(domains.catalog)
        self._client: Consumer | None = None
        self._states = StateCache(CACHE_BYTES)

    def state(self, db: Database, decider: AnyDecider, stream: str, version: int) -> Any:
        """The decider's state at a version, folded on from the last cached one. Raises as `pages`, or as the fold."""
        name = (decider.category.name, stream, decider.fingerprint)
        after, state = self._states.get(name, version) or (0, decider.initial)
        for page in self.pages(db, *name[:2], after=after, upto=version):
            state = decider.fold(tuple(recorded.event for recorded in page), state)
        self._states.put(name, version, state, len(decider.dump(state)))
        return state

    def pages(self, db: Database, category: str, stream: str, *, after: int, upto: int) -> Iterator[list[Recorded]]:
        """The events with versions after+1 … upto, in pages of PAGE_BYTES.

        Raises EventUnreadable, NewerSchema, KafkaUnavailable. Raises DatabaseUnavailable if the tables lack some: they
        were restored after the version was read, and fewer events would fold to another state.
        """
        places = self.offsets(db, category, stream, after=after, upto=upto)
        if len(places) != upto - after:
            raise DatabaseUnavailable(f"{category} {stream}: the tables have {len(places)} of {upto - after} events")
        set_aside.refuse(db, events_topic(self._prefix, category), places)
        while places:
            records = self._records(category, places, PAGE_BYTES)
            yield self._events(category, places, records)
            stuck.goes_on()
            places = places[len(records) :]

    @staticmethod
    def offsets(db: Database, category: str, stream: str, *, after: int, upto: int) -> list[tuple[int, int]]:
        """(partition, offset) of these events, in order of version."""
        rows = db.execute(
            "SELECT first_version, part, offsets FROM refold.stream_offsets WHERE category = %s AND stream = %s"
            " AND first_version <= %s AND first_version + cardinality(offsets) > %s ORDER BY first_version",
            (category, stream, upto, after + 1),
        ).fetchall()
        found = [(first + i, part, offset) for first, part, offsets in rows for i, offset in enumerate(offsets)]
        return [(part, offset) for version, part, offset in found if after < version <= upto]

    def read(self, category: str, places: list[tuple[int, int]]) -> list[Recorded]:
        """The events at the first of these places (one partition, ascending), as many as PAGE_BYTES hold, at least one.

        Raises EventUnreadable, NewerSchema.
        """
        return self._events(category, places, self._records(category, places, PAGE_BYTES))

    def values(self, category: str, places: list[tuple[int, int]], most_bytes: int | None = None) -> list[bytes | None]:
        """The records at these places as the log has them; stops once it has `most_bytes`."""
        return [value for value, _ in self._records(category, places, most_bytes)]

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _records(self, category: str, places: list[tuple[int, int]], most_bytes: int | None) -> list[Stored]:
        """The records at these places; stops once it has `most_bytes`."""
        topic, records, size = events_topic(self._prefix, category), list[Stored](), 0
        while len(records) < len(places) and (most_bytes is None or size < most_bytes):
            part, first = places[len(records)]
            near = [offset for _, offset in places[len(records) : len(records) + _NEAR] if offset < first + _NEAR]
            found = self._fetch(topic, part, near, None if most_bytes is None else most_bytes - size)
            records += found
            size += sum(len(value or b"") for value, _ in found)
        return records

    def _events(self, category: str, places: list[tuple[int, int]], records: list[Stored]) -> list[Recorded]:
        return [
            event
            for place, record in zip(places, records, strict=False)
            for event in self._recorded(category, *place, record)
        ]

    def _recorded(self, category: str, part: int, offset: int, record: Stored) -> list[Recorded]:
        value, millis = record
        try:
            meta, events = self._codec.read_events(value)
        except NewerSchema as problem:
            topic = events_topic(self._prefix, category)
            raise NewerSchema(f"{topic}/{part}@{offset}: {problem.message}") from problem
        except Undecodable as problem:
            place = events_topic(self._prefix, category), part
            raise EventUnreadable(place, offset, problem.reason, problem.message) from problem
        assert not isinstance(events, Rejection), "stream_offsets holds events only"
        stored = self._codec.catalog.by_id[framed(value)].name
        at = moment(millis)
        return [Recorded(part, offset, meta, event, stored, index, at) for index, event in enumerate(events)]

    def _fetch(self, topic: str, part: int, wanted: list[int], most_bytes: int | None) -> list[Stored]:
        """The records at some offsets that lie close together; records between them are skipped."""
        if self._client is None:
            self._client = clients.consumer(self.servers, **_FEW_AT_A_TIME)
        self._client.assign([TopicPartition(topic, part, wanted[0])])
        found: dict[int, Stored] = {}
        size, ours = 0, frozenset(wanted)
        while len(found) < len(wanted) and (most_bytes is None or not found or size < most_bytes):
            message = self._client.poll(_WAIT_S)
            if message is None:
                raise KafkaUnavailable(f"{topic}/{part}: no record at {wanted[0]} within {_WAIT_S} s")
            for record in records_of([message, *self._client.consume(_SLICE, 0)]):
                if record.offset() in ours:
                    found[record.offset() or 0] = record.value(), record.timestamp()[1]
                    size += len(record)
        self._client.unassign()
        return [found[offset] for offset in wanted if offset in found]
