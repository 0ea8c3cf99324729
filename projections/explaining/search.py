"""Finds the records behind a row: by the stored offsets of a stream if the key names one, else by reading the log as columns.

A search can stop at any batch and go on later. It reads each record once: up to the position of the row, and no further.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from refold.projections import metrics
from refold.projections.declaring.declaration import EventType, handled
from refold.projections.explaining.snapshot import Snapshot
from refold.projections.partials.batch import Batch, batch_of, counted_events
from refold.projections.partials.of_key import rows_of_key
from refold.projections.partials.partial import Frames
from refold.projections.tables.layout import Layout
from refold.schemas.columns.decoder import ColumnDecoder
from refold.streams.chunk import Chunk, Place
from refold.streams.kafka.log_reader import LogReader
from refold.streams.log.history import PAGE_BYTES, History
from refold.streams.log.stretch import read_until
from refold.streams.log.topics import category_of, events_topic
from refold.streams.postgres import set_aside

READ_RECORDS = 40_000
_SILENCE_S = 15.0
Progress = Callable[[int, int], None]
"""Called with how many records are read, and of how many."""


@dataclass(frozen=True)
class FoundValue:
    """A record that concerns the row, as the log has it."""

    category: str
    part: int
    offset: int
    value: bytes


@dataclass
class Searched:
    """The progress of a search: `at` by place, or the number of the stream's events; and the records found since the last question."""

    at: dict[Place, int] = field(default_factory=dict)
    found: list[FoundValue] = field(default_factory=list)
    read: int = 0
    of: int = 0

    @property
    def complete(self) -> bool:
        return self.read >= self.of


@dataclass(frozen=True)
class Search:
    """Searches for one layout's rows. `decoder` and `history` belong to the thread that searches.

    `recall`: adds what is carried to events, if the model carries values.
    """

    servers: str
    prefix: str
    decoder: ColumnDecoder
    history: History
    recall: Callable[[Frames], Frames] = lambda frames: frames

    def go_on(
        self, layout: Layout, snapshot: Snapshot, searched: Searched, until: float | None, progress: Progress
    ) -> None:
        """Search up to the snapshot's positions, or until a time (`time.monotonic`). Raises KafkaUnavailable, LogRefused."""
        if snapshot.streams is not None:
            self._by_stream(snapshot, searched, until, progress)
        else:
            self._in_the_log(layout, snapshot, searched, until, progress)

    def _by_stream(self, snapshot: Snapshot, searched: Searched, until: float | None, progress: Progress) -> None:
        assert snapshot.streams is not None
        wanted = [(name, place) for name, places in snapshot.streams.items() for place in places]
        ours = [one for one in wanted if self._is_folded(snapshot, *one)]
        searched.read = sum(self._is_read(searched, *one) for one in ours)
        searched.of = len(ours)
        for name in snapshot.streams:
            topic = events_topic(self.prefix, name)
            left = [place for of, place in ours if of == name and not self._is_read(searched, of, place)]
            while left and (until is None or time.monotonic() < until):
                values = self.history.values(name, left, PAGE_BYTES)
                for (part, offset), value in zip(left, values, strict=False):
                    if offset not in snapshot.aside.get((topic, part), {}) and value is not None:
                        searched.found.append(FoundValue(name, part, offset, value))
                    searched.at[topic, part] = offset + 1
                searched.read += len(values)
                metrics.EXPLAINED.labels("stream").inc(len(values))
                left = left[len(values) :]
                progress(searched.read, searched.of)

    def _is_folded(self, snapshot: Snapshot, category: str, place: tuple[int, int]) -> bool:
        part, offset = place
        return offset < snapshot.positions.get((events_topic(self.prefix, category), part), 0)

    def _is_read(self, searched: Searched, category: str, place: tuple[int, int]) -> bool:
        part, offset = place
        return offset < searched.at.get((events_topic(self.prefix, category), part), 0)

    def _in_the_log(
        self, layout: Layout, snapshot: Snapshot, searched: Searched, until: float | None, progress: Progress
    ) -> None:
        ends = snapshot.positions
        searched.of = sum(ends.values())
        searched.read = sum(min(at, ends.get(place, 0)) for place, at in searched.at.items())
        for chunk in self._chunks(snapshot, searched, until):
            searched.found += self._matching(layout, snapshot, set_aside.masked(chunk, snapshot.aside))
            searched.at[chunk.place] = chunk.end
            searched.read += len(chunk.values)
            metrics.EXPLAINED.labels("scan").inc(len(chunk.values))
            progress(searched.read, searched.of)

    def _chunks(self, snapshot: Snapshot, searched: Searched, until: float | None) -> Iterator[Chunk]:
        starts = {place: searched.at.get(place, 0) for place, end in snapshot.positions.items()}
        starts = {place: at for place, at in starts.items() if at < snapshot.positions[place]}
        if starts:
            with closing(LogReader(self.servers, starts, records=READ_RECORDS)) as reader:
                yield from read_until(reader, {place: snapshot.positions[place] for place in starts}, _SILENCE_S, until)

    def _matching(self, layout: Layout, snapshot: Snapshot, chunk: Chunk) -> Iterator[FoundValue]:
        """The chunk's records with an event that is added to the row, in order."""
        category = category_of(self.prefix, chunk.topic)
        batch, types = batch_of(category, [chunk]), _types(layout, category)
        voids = {chunk.place: [(one.first, one.last) for one in snapshot.voids if one.place == chunk.place]}
        rows = {row for number in self._rows(layout, types, batch, voids, snapshot.key) for row in number}
        for row in sorted(rows):
            value = chunk.values[row]
            assert value is not None
            yield FoundValue(category, chunk.part, chunk.start + row, bytes(value))

    def _rows(
        self, layout: Layout, types: Sequence[EventType], batch: Batch, voids: Any, key: Sequence[Any]
    ) -> Iterator[Sequence[int]]:
        counted = counted_events(self.decoder, types, batch, voids, [])
        for kind, frame in self.recall(counted.frames).items():
            yield rows_of_key(layout, kind, frame, key).to_list()


def _types(layout: Layout, category: str) -> list[EventType]:
    return [kind for kind in handled(layout.model) if kind.category.name == category]
