"""Reads a stretch of the log and says which of a model's keys its events touch: with the engine that folds the model.

It reads no further than the model has read: up to there voids, waiting streams and records that kill are known.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from refold.api.http.changes.recall import Recall
from refold.projections.declaring.declaration import EventType, handled
from refold.projections.partials.batch import Park, batch_of, by_category, counted_events
from refold.projections.partials.touched import Key, touched
from refold.projections.tables.layout import Layout
from refold.schemas.catalog import Catalog
from refold.schemas.columns.decoder import ColumnDecoder
from refold.schemas.errors import RefoldError
from refold.streams.chunk import Chunk, Place
from refold.streams.core.limits import Voids
from refold.streams.errors import KafkaUnavailable
from refold.streams.kafka.log_reader import LogReader
from refold.streams.postgres.set_aside import Offsets, masked

Positions = Mapping[Place, int]
"""Next offsets, by a topic's full name and partition."""
_RECORDS, _POLL_S = 20_000, 0.2
MOST_WAIT_S = 4.0
"""Seconds without a record that is known to be there after which Kafka counts as away."""


class KeysUnknown(Exception):
    """This process cannot read an event that the model has folded, so the changed rows are unknown."""

    code = "event-unreadable"


@dataclass(frozen=True)
class StretchLimits:
    """The records to leave out in a stretch of the log: void records, waiting streams, and records that are set aside."""

    voids: Voids
    parked: Sequence[Park]
    aside: Offsets


class KeyReader:
    """Reads for one model. One thread at a time uses it. Connects at the first stretch."""

    def __init__(self, servers: str, prefix: str, catalog: Catalog, layout: Layout, recall: Recall) -> None:
        """`recall` adds what is carried to events."""
        self._servers, self._prefix, self._layout, self._recall = servers, prefix, layout, recall
        self._decoder = ColumnDecoder(catalog, thin=True)
        self._types: dict[str, list[EventType]] = {}
        for kind in handled(layout.model):
            self._types.setdefault(kind.category.name, []).append(kind)
        self._reader: LogReader | None = None

    def read(self, start: Positions, end: Positions, limits: StretchLimits) -> dict[Place, list[tuple[int, Key]]]:
        """The touched keys with their offsets, by place, in the log's order, of the records from `start` to before `end`.

        Raises KeysUnknown, LogTrimmed, LogShorter, LogHole, LogCorrupt, KafkaUnavailable, DatabaseUnavailable.
        """
        found: dict[Place, list[tuple[int, Key]]] = {place: [] for place in end}
        try:
            at = dict(start)
            reader = self._standing_at(at)
            until = time.monotonic() + MOST_WAIT_S
            while any(at[place] < end[place] for place in end):
                chunks = [cut for chunk in reader.poll(_POLL_S) if (cut := _needed(chunk, at, end)) is not None]
                for chunk in chunks:
                    at[chunk.place] = chunk.end
                    until = time.monotonic() + MOST_WAIT_S
                self._derive([masked(chunk, limits.aside) for chunk in chunks], limits, found)
                if time.monotonic() > until:
                    raise KafkaUnavailable("records that a model has folded do not arrive")
        except (RefoldError, KeysUnknown):
            self.close()
            raise
        for keys in found.values():
            keys.sort(key=lambda one: one[0])
        return found

    def ends(self, at: Positions) -> dict[Place, int]:
        """The ends of the log at these places. Raises KafkaUnavailable, LogTrimmed, LogShorter."""
        return self._standing_at(at).ends()

    def close(self) -> None:
        """End its connections."""
        if self._reader is not None:
            with suppress(RefoldError):
                self._reader.close()
            self._reader = None

    def _standing_at(self, at: Positions) -> LogReader:
        if self._reader is None or self._reader.next.keys() != at.keys():
            self.close()
            self._reader = LogReader(self._servers, at, records=_RECORDS)
        for place, offset in at.items():
            if self._reader.next[place] != offset:
                self._reader.seek(place, offset)
        return self._reader

    def _derive(
        self, chunks: Sequence[Chunk], limits: StretchLimits, found: dict[Place, list[tuple[int, Key]]]
    ) -> None:
        for category, of_it in by_category(self._prefix, chunks).items():
            batch = batch_of(category, of_it)
            counted = counted_events(self._decoder, self._types[category], batch, limits.voids, limits.parked)
            for park in counted.parks:
                raise KeysUnknown(f"{park.category} {park.stream}: {park.code}: {park.reason}")
            topic = of_it[0].topic
            for one in touched(self._layout, batch, self._recall(counted.frames)):
                found[topic, one.part].append((one.offset, one.key))


def _needed(chunk: Chunk, at: Positions, end: Positions) -> Chunk | None:
    """The part of a chunk that follows what was read, up to the end of the stretch."""
    needed = chunk.since(at[chunk.place]).upto(end.get(chunk.place, 0))
    return needed if needed.values else None
