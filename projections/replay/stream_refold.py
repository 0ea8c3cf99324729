"""Folds the events of some streams alone, by the places that the core stored, instead of reading the whole log."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np

from refold.projections.declaring.declaration import handled
from refold.projections.live import parking
from refold.projections.live.limits import parked
from refold.projections.live.member import overflowing
from refold.projections.partials.batch import ALL_BUILDS, Batch, counted_events
from refold.projections.replay.builder import Progress
from refold.projections.replay.keyed_staging import KeyedStaging
from refold.projections.tables.builds import GROUP
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import read_types
from refold.schemas.columns.decoder import ColumnDecoder
from refold.schemas.meta import HEADER_BYTES
from refold.streams.chunk import Place
from refold.streams.core.limits import group_positions
from refold.streams.kafka.place_reader import PlaceReader, Records
from refold.streams.log.topics import events_topic
from refold.streams.postgres import set_aside
from refold.streams.postgres.connection import Database
from refold.streams.postgres.set_aside import Offsets, SetAside

PAGE_BYTES = 32 << 20
"""Bytes of records that are in memory at once."""
_OFFSETS = "SELECT part, offsets FROM refold.stream_offsets WHERE category = %s AND stream = ANY(%s)"


@dataclass
class StreamRefold:
    """Folds streams into a build of their rows. `at`: up to where it has folded each place; used by one thread."""

    db: Database
    servers: str
    prefix: str
    decoder: ColumnDecoder
    staging: KeyedStaging
    streams: Sequence[str]
    at: dict[Place, int] = field(default_factory=dict)
    read: int = 0

    def left(self) -> dict[Place, list[int]]:
        """The places of events that the live tables have folded and this has not."""
        reached = group_positions(self.db, GROUP)
        found: dict[Place, list[int]] = {}
        for category in categories_of(self.staging.layout):
            topic = events_topic(self.prefix, category)
            for part, offsets in self.db.execute(_OFFSETS, (category, list(self.streams))):
                place = topic, part
                low, high = self.at.get(place, 0), reached.get(place, 0)
                found.setdefault(place, []).extend(at for at in offsets if low <= at < high)
        return {place: sorted(offsets) for place, offsets in found.items() if offsets}

    def go_on(self, left: Mapping[Place, Sequence[int]], progress: Progress) -> None:
        """Fold the events at these places, within the caller's transaction. Raises KafkaUnavailable, LogRefused, SumOverflow."""
        whole, done, size = sum(map(len, left.values())), 0, 0
        read: dict[Place, Records] = {}
        if not left:
            self.staging.flush(self.db)
            return
        with closing(PlaceReader(self.servers, sorted({topic for topic, _ in left}))) as reader:
            for place, records in reader.read(left):
                read.setdefault(place, []).extend(records)
                done += len(records)
                size += sum(len(value or b"") for _, value in records)
                if size > PAGE_BYTES:
                    self._fold_all(read)
                    read, size = {}, 0
                progress(done, whole)
        with overflowing(self.staging.layout):
            self._fold_all(read)
            self.staging.flush(self.db)
        self.read += whole
        self.at |= {place: offsets[-1] + 1 for place, offsets in left.items()}

    def _fold_all(self, read: Mapping[Place, Records]) -> None:
        for category in categories_of(self.staging.layout):
            topic = events_topic(self.prefix, category)
            if of_it := {part: records for (of, part), records in read.items() if of == topic}:
                self._fold(category, topic, of_it)

    def _fold(self, category: str, topic: str, records: Mapping[int, Records]) -> None:
        waiting = [park for park in parked(self.db) if park.build in (ALL_BUILDS, self.staging.build.number)]
        aside = set_aside.load(self.db, [GROUP])
        batch = _batch(category, topic, records, aside)
        types = [kind for kind in read_types(self.staging.layout.model) if kind.category.name == category]
        counted = counted_events(self.decoder, types, batch, {}, waiting)
        number = self.staging.build.number
        parking.park(self.db, [replace(park, build=number) for park in counted.parks], {}, number)
        self.staging.add({category: (batch, counted)})


def categories_of(layout: Layout) -> list[str]:
    """The categories whose events a model gathers."""
    return list(dict.fromkeys(kind.category.name for kind in handled(layout.model)))


def _batch(category: str, topic: str, records: Mapping[int, Records], aside: Offsets) -> Batch:
    """The records in the order of their places; a body that is set aside is unreadable."""
    parts, offsets, values = list[int](), list[int](), list[bytes | None]()
    for part, of_it in sorted(records.items()):
        reasons = aside.get((topic, part), {})
        for offset, value in of_it:
            is_aside = offset in reasons and value is not None and len(value) > HEADER_BYTES
            parts.append(part)
            offsets.append(offset)
            values.append(SetAside.of(value or b"", reasons[offset]) if is_aside else value)
    return Batch(category, (), values, np.array(offsets, np.int64), np.array(parts, np.int32))
