"""Names the records that would concern a row and are not folded into it: those of parked streams, and those that do not count."""

from collections.abc import Sequence
from dataclasses import dataclass

from refold.projections.declaring.declaration import Entity
from refold.projections.explaining.kept import ReadsRecords
from refold.projections.explaining.search import FoundValue
from refold.projections.explaining.snapshot import Snapshot
from refold.projections.explaining.steps import RowRecord, concerns
from refold.projections.partials.batch import Park
from refold.projections.tables.layout import Layout
from refold.streams.log.history import History
from refold.streams.log.topics import category_of, events_topic
from refold.streams.postgres.connection import Database

MOST_PARKS, MOST_WAITING, MOST_VOIDS = 50, 200, 500
"""Most parked streams, events of each, and void records that one answer looks at."""


@dataclass(frozen=True)
class WaitingEvents:
    """A parked stream whose events concern the row, or may: `unreadable` of them cannot be read, so nobody knows their row."""

    park: Park
    events: list[RowRecord]
    unreadable: int


@dataclass(frozen=True)
class VoidRecord:
    """An event for the row that does not count, by the rules of the log."""

    record: RowRecord
    reason: str


@dataclass(frozen=True)
class Unfolded:
    """The records that are not folded into a row. `unseen`: how many parked streams and void records were left out, since there are too many."""

    waiting: list[WaitingEvents]
    voids: list[VoidRecord]
    unseen: int = 0


@dataclass(frozen=True)
class UnfoldedRecords:
    """Looks for records that are not folded into a row. One thread uses it."""

    prefix: str
    history: History
    records: ReadsRecords

    def of(self, db: Database, layout: Layout, snapshot: Snapshot) -> Unfolded:
        """The unfolded records of one row. Raises KafkaUnavailable, LogRefused."""
        entity = isinstance(layout.model, Entity)
        parks = [park for park in snapshot.parked if not entity or park.stream == snapshot.key[0]]
        waiting = [self._waiting(db, layout, snapshot, park) for park in parks[:MOST_PARKS]]
        voids, unread = self._voids(layout, snapshot)
        there = [one for one in waiting if one.events or one.unreadable]
        return Unfolded(there, voids, max(0, len(parks) - MOST_PARKS) + unread)

    def _waiting(self, db: Database, layout: Layout, snapshot: Snapshot, park: Park) -> WaitingEvents:
        places = self.history.offsets(db, park.category, park.stream, after=0, upto=2**62)
        reached = snapshot.positions.get((events_topic(self.prefix, park.category), park.part), 0)
        behind = [place for place in places if park.first_offset <= place[1] < reached]
        found, unreadable = self._read(layout, snapshot, park.category, behind[:MOST_WAITING])
        return WaitingEvents(park, found, unreadable)

    def _voids(self, layout: Layout, snapshot: Snapshot) -> tuple[list[VoidRecord], int]:
        found, left, unread = list[VoidRecord](), MOST_VOIDS, 0
        for one in snapshot.voids:
            topic, part = one.place
            last = min(one.last, snapshot.positions.get(one.place, 0) - 1)
            offsets = range(one.first, last + 1)
            places = [(part, offset) for offset in offsets[:left]]
            left, unread = left - len(places), unread + len(offsets) - len(places)
            records, _ = self._read(layout, snapshot, category_of(self.prefix, topic), places)
            found += [VoidRecord(record, one.reason) for record in records]
        return found, unread

    def _read(
        self, layout: Layout, snapshot: Snapshot, category: str, places: Sequence[tuple[int, int]]
    ) -> tuple[list[RowRecord], int]:
        """The records that concern the row, and how many cannot be read. One that is set aside is not tried."""
        topic = events_topic(self.prefix, category)
        sound = [(part, at) for part, at in places if at not in snapshot.aside.get((topic, part), {})]
        found, unreadable = list[RowRecord](), len(places) - len(sound)
        for (part, offset), value in zip(sound, self.history.values(category, sound), strict=True):
            record = self.records.read(FoundValue(category, part, offset, value or b""))
            if record is None:
                unreadable += 1
            elif concerns(layout, snapshot.key, record):
                found.append(record)
        return found, unreadable
