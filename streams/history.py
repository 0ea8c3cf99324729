"""The events of one stream as today's code has them, read from the log by the offsets that the core noted."""

from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from refold.schemas.codec import Codec, Rejection
from refold.schemas.contracts import Event
from refold.schemas.envelope import framed
from refold.schemas.meta import Meta
from refold.streams import kafka
from refold.streams.domain import AnyDecider, Domains
from refold.streams.errors import KafkaUnavailable
from refold.streams.log import records_of
from refold.streams.postgres import Database
from refold.streams.topics import events_topic

_WAIT_S = 10.0
_NEAR = 2_000


@dataclass(frozen=True)
class Recorded:
    """An event with its envelope and its place in the log.

    `stored_type` is the type that the log has it as; `index` tells those apart that one stored event was upcast to.
    """

    part: int
    offset: int
    meta: Meta
    event: Event
    stored_type: str
    index: int = 0


class History:
    """Reads single streams from the log. One consumer, used by one thread at a time."""

    def __init__(self, servers: str, prefix: str, domains: Domains) -> None:
        self._servers, self._prefix = servers, prefix
        self._codec = Codec(domains.catalog)
        self._client: Consumer | None = None

    def state(self, db: Database, decider: AnyDecider, stream: str, version: int) -> Any:
        """The decider's state at a version: a cold refold. Raises Undecodable, KafkaUnavailable."""
        events = self.events(db, decider.category.name, stream, after=0, upto=version)
        return decider.fold(tuple(recorded.event for recorded in events))

    def events(self, db: Database, category: str, stream: str, *, after: int, upto: int) -> list[Recorded]:
        """The events with versions after+1 … upto. Raises Undecodable, KafkaUnavailable."""
        places = self.offsets(db, category, stream, after=after, upto=upto)
        return self.read(category, places)

    @staticmethod
    def offsets(db: Database, category: str, stream: str, *, after: int, upto: int) -> list[tuple[int, int]]:
        """(partition, offset) of those events, in order of version."""
        rows = db.execute(
            "SELECT first_version, part, offsets FROM refold.stream_offsets WHERE category = %s AND stream = %s"
            " AND first_version <= %s ORDER BY first_version",
            (category, stream, upto),
        ).fetchall()
        found = [(first + i, part, offset) for first, part, offsets in rows for i, offset in enumerate(offsets)]
        return [(part, offset) for version, part, offset in found if after < version <= upto]

    def read(self, category: str, places: list[tuple[int, int]]) -> list[Recorded]:
        """The events at these places of a category, all of one partition, in ascending order of offset. Raises Undecodable."""
        topic, found, left = events_topic(self._prefix, category), [], list(places)
        while left:
            part, first = left[0]
            near = [offset for _, offset in left if offset < first + _NEAR]
            values = self._fetch(topic, part, first, near[-1])
            found += [event for offset in near for event in self._recorded(part, offset, values[offset])]
            left = left[len(near) :]
        return found

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _recorded(self, part: int, offset: int, value: bytes | None) -> list[Recorded]:
        meta, events = self._codec.read_events(value)
        assert not isinstance(events, Rejection), "stream_offsets holds events only"
        stored = self._codec.catalog.by_id[framed(value)].name
        return [Recorded(part, offset, meta, event, stored, index) for index, event in enumerate(events)]

    def _fetch(self, topic: str, part: int, first: int, last: int) -> dict[int, bytes | None]:
        """All records from `first` to `last`."""
        if self._client is None:
            self._client = kafka.consumer(self._servers, **{"queued.min.messages": 1, "fetch.wait.max.ms": 5})
        self._client.assign([TopicPartition(topic, part, first)])
        found: dict[int, bytes | None] = {}
        while last not in found:
            message = self._client.poll(_WAIT_S)
            if message is None:
                raise KafkaUnavailable(f"{topic}/{part}: no record at {first} within {_WAIT_S} s")
            for record in records_of([message, *self._client.consume(last - first + 1, 0)]):
                found[record.offset() or 0] = record.value()
        self._client.unassign()
        return found
