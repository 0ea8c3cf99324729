"""Keeps the records that a search for one row has found, for the next question. Memory is bounded: the oldest of very many events become sums."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from refold.projections.declaring.declaration import Entity
from refold.projections.explaining.search import FoundValue, Searched
from refold.projections.explaining.steps import DELETES, Change, ColumnChange, Key, RowRecord, RowSteps, steps_of
from refold.projections.partials.row_batch import event_of
from refold.projections.tables.layout import Layout
from refold.schemas.arithmetic import EXACT
from refold.schemas.catalog import Catalog
from refold.schemas.codec import Codec, Rejection
from refold.schemas.envelope import framed
from refold.schemas.errors import Undecodable
from refold.streams.chunk import Place

MOST_LISTED = 20_000
"""Events of a row that are listed one by one, up to twice as many; older ones are added up."""


@dataclass
class Total:
    """How many events changed a column, and what they added to a count or sum since the row was made."""

    events: int = 0
    adds: Any = None

    def take(self, effect: str, change: ColumnChange) -> None:
        self.events += 1
        if effect == DELETES:
            self.adds = None
        elif change.adds is not None:
            decimal = EXACT.add(self.adds or 0, change.adds) if hasattr(change.adds, "as_tuple") else None
            self.adds = decimal if decimal is not None else (self.adds or 0) + change.adds


@dataclass
class Summed:
    """The row after the events that are summed up: their number, what they added, and their last offset in each place."""

    steps: RowSteps
    events: int = 0
    totals: dict[str, Total] = field(default_factory=dict)
    last: dict[Place, int] = field(default_factory=dict)

    def take(self, place: Place, record: RowRecord) -> None:
        add_up(self.totals, self.steps.take(record))
        self.events += 1
        self.last[place] = max(record.offset, self.last.get(place, 0))


def add_up(totals: dict[str, Total], change: Change) -> None:
    """Count a change in the columns' totals."""
    for name, column in change.columns.items():
        totals.setdefault(name, Total()).take(change.effect, column)


class Records:
    """Reads found records as today's events."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._codec = catalog, Codec(catalog)

    def read(self, found: FoundValue) -> RowRecord | None:
        """The event or the rejection with its envelope; None for a record that cannot be read."""
        try:
            meta, events = self._codec.read_events(found.value)
        except Undecodable:
            return None
        category, stored = self._catalog.categories[found.category], self._catalog.by_id[framed(found.value)].name
        todays = (event_of(events),) if isinstance(events, Rejection) else tuple(events)
        return RowRecord(category, found.part, found.offset, meta, stored, todays)

    def read_all(self, found: Sequence[FoundValue]) -> list[RowRecord]:
        """Those of the records that can be read."""
        return [record for one in found if (record := self.read(one)) is not None]


class ReadsRecords(Protocol):
    """`Records`, or what adds to them."""

    def read(self, found: FoundValue) -> RowRecord | None: ...
    def read_all(self, found: Sequence[FoundValue]) -> list[RowRecord]: ...


class Kept:
    """One row's search so far. `topics`: the full name of each category's topic of events."""

    def __init__(self, layout: Layout, key: Key, topics: Mapping[str, str]) -> None:
        self.layout, self.key, self._topics = layout, key, topics
        self.searched = Searched()
        self.summed = Summed(steps_of(layout, key))

    @property
    def size(self) -> int:
        """Bytes of the records."""
        return sum(len(one.value) for one in self.searched.found)

    def serves(self, positions: Mapping[Place, int]) -> bool:
        """Whether the row at these positions can be computed: no event beyond them is summed up."""
        return all(offset < positions.get(place, 0) for place, offset in self.summed.last.items())

    def place(self, category: str, part: int) -> Place:
        """The place of a category's partition."""
        return self._topics[category], part

    def in_order(self, records: ReadsRecords) -> list[RowRecord]:
        """The listed records: of one stream by version, of several by the time of their decision."""
        return sorted(
            records.read_all(self.searched.found),
            key=_by_version if isinstance(self.layout.model, Entity) else _by_time,
        )

    def sum_up(self, records: ReadsRecords, waits: Callable[[RowRecord], bool]) -> None:
        """If too many records are kept, add up the oldest; records that wait stay listed."""
        if len(self.searched.found) <= 2 * MOST_LISTED:
            return
        done = set()
        for record in self.in_order(records)[:-MOST_LISTED]:
            if not waits(record):
                self.summed.take(self.place(record.category.name, record.part), record)
                done.add((record.category.name, record.part, record.offset))
        found = self.searched.found
        self.searched.found = [one for one in found if (one.category, one.part, one.offset) not in done]


def _by_version(record: RowRecord) -> tuple[Any, ...]:
    return (record.meta.version,)


def _by_time(record: RowRecord) -> tuple[Any, ...]:
    return record.meta.recorded_at, record.meta.category, record.part, record.offset
