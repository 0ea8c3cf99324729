"""Explains one row: finds its events, adds them up again by the model's own engine, and compares the result with the row."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from refold.projections.explaining.kept import Kept, Records, Total, add_up
from refold.projections.explaining.recalling import Recalling
from refold.projections.explaining.search import Progress, Search
from refold.projections.explaining.snapshot import Snapshot, categories_of, taken
from refold.projections.explaining.steps import Change, RowRecord, concerns
from refold.projections.explaining.unfolded import Unfolded, UnfoldedRecords
from refold.projections.live.carry import recalled
from refold.projections.partials.batch import Park
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.schemas.catalog import Catalog
from refold.schemas.columns.decoder import ColumnDecoder
from refold.streams.chunk import Place
from refold.streams.log.history import History
from refold.streams.log.topics import events_topic
from refold.streams.postgres import session
from refold.streams.postgres.connection import Database, opened
from refold.streams.settings import Settings

MOST_KEPT_BYTES = 64 << 20
MOST_KEPT = 64
"""Most rows, and bytes of their records, whose searches are kept for the next question."""


@dataclass(frozen=True)
class Asked:
    """A row, and which of its changes to list: `limit` changes from number `start` on, from the oldest or from the newest.

    `positions`: the positions of the first page, if this is a further page. `seconds`: how long the search may take; None: no limit.
    """

    domain: str
    model: str
    key: Sequence[str | None]
    limit: int = 100
    start: int = 0
    newest: bool = False
    positions: Mapping[Place, int] | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Explanation:
    """The events that explain a row at its position.

    `complete`: whether all events of it are found; if not, the numbers speak of those that are. `row`: as readers see it, of a first page.
    `folded`: the row that the events give. `changes`: a page of them. `events`: how many there are, `summed` of them only in the totals.
    """

    layout: Layout
    key: tuple[Any, ...]
    positions: Mapping[Place, int]
    row: dict[str, Any] | None
    folded: dict[str, Any] | None
    complete: bool
    by_stream: bool
    read: int
    of: int
    events: int
    summed: int
    totals: Mapping[str, Total]
    changes: list[tuple[RowRecord, Change]]
    following: int | None
    unfolded: Unfolded
    is_first_page: bool

    @property
    def adds_up(self) -> bool | None:
        """Whether the events give exactly the row; None if nobody can tell: some events are not found yet, or the row has moved on."""
        return self.folded == self.row if self.complete and self.is_first_page else None

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a row, nor an event that made or would have made it."""
        waiting = [one for one in self.unfolded.waiting if one.events or self.by_stream]
        return self.complete and self.row is None and not (self.events or waiting or self.unfolded.voids)


class Explainer:
    """Explains rows of the declared models. One thread uses it."""

    def __init__(self, settings: Settings, catalog: Catalog, declared: Declared, history: History) -> None:
        """`history` reads the records of single streams; the explainer closes it."""
        self._url, self._prefix = settings.dsn(), settings.topic_prefix
        self._declared, self._history, self._records = declared, history, Records(catalog)
        self._search = Search(settings.kafka_servers(), self._prefix, ColumnDecoder(catalog, thin=True), history)
        self._unfolded = UnfoldedRecords(self._prefix, history, self._records)
        self._kept: dict[tuple[Any, ...], Kept] = {}

    def close(self) -> None:
        """Give the connections back."""
        self._history.close()

    def explain(self, asked: Asked, progress: Progress = lambda _done, _of: None) -> Explanation:
        """The explanation. Raises KeyUnfit, DeclarationDiffers, KafkaUnavailable, LogRefused, psycopg.Error."""
        until = None if asked.seconds is None else time.monotonic() + asked.seconds
        name = (asked.domain, asked.model)
        layout = self._declared.layouts[name]
        parameters = session.parameters("explain", session.READER)
        with closing(opened(self._url, parameters)) as db:
            db.execute(session.said_again(session.READER))
            snapshot = taken(db, self._prefix, layout, self._declared.fingerprints[name], asked.key)
            if asked.positions is not None:
                snapshot = replace(snapshot, positions=asked.positions)
            return self._explained(db, asked, layout, snapshot, until, progress)

    def _explained(
        self, db: Database, asked: Asked, layout: Layout, snapshot: Snapshot, until: float | None, progress: Progress
    ) -> Explanation:
        kept, records = self._kept_for(layout, snapshot, asked), Recalling(self._records, db, layout, snapshot.build)
        waits = _Waits(snapshot)
        searched = kept.searched
        if snapshot.row is not None or layout.deletes or snapshot.streams is not None or asked.positions is not None:

            def went_on(done: int, of: int) -> None:
                kept.sum_up(records, waits)  # meanwhile, so that no row fills the memory
                progress(done, of)

            search = replace(self._search, recall=lambda frames: recalled(db, layout, snapshot.build.schema, frames))
            search.go_on(layout, snapshot, searched, until, went_on)
        unfolded = replace(self._unfolded, records=records).of(db, layout, snapshot)
        self._forget_others(kept)
        steps, totals = kept.summed.steps.copied(), {name: replace(one) for name, one in kept.summed.totals.items()}
        changes: list[tuple[RowRecord, Change]] = []
        for record in kept.in_order(records):
            place = kept.place(record.category.name, record.part)
            is_in = record.offset < snapshot.positions.get(place, 0) and not waits(record)
            if is_in and concerns(layout, snapshot.key, record):
                change = steps.take(record)
                add_up(totals, change)
                changes.append((record, change))
        listed = changes[::-1] if asked.newest else changes
        end = asked.start + asked.limit
        return Explanation(
            layout=layout,
            key=snapshot.key,
            positions=snapshot.positions,
            row=snapshot.row,
            folded=steps.shown(),
            complete=searched.complete,
            by_stream=snapshot.streams is not None,
            read=searched.read,
            of=searched.of,
            events=len(changes) + kept.summed.events,
            summed=kept.summed.events,
            totals=totals,
            changes=listed[asked.start : end],
            following=end if end < len(listed) and searched.complete else None,
            unfolded=unfolded,
            is_first_page=asked.positions is None,
        )

    def _kept_for(self, layout: Layout, snapshot: Snapshot, asked: Asked) -> Kept:
        """The row's search so far, or a new one."""
        name = (asked.domain, asked.model, self._declared.fingerprints[asked.domain, asked.model], snapshot.key)
        kept = self._kept.pop(name, None)
        if kept is None or not kept.serves(snapshot.positions):
            topics = {category: events_topic(self._prefix, category) for category in categories_of(layout)}
            kept = Kept(layout, snapshot.key, topics)
        self._kept[name] = kept  # the last one used is the last one forgotten
        return kept

    def _forget_others(self, used: Kept) -> None:
        """Forget the searches that were used least recently, down to the limits."""
        size = sum(kept.size for kept in self._kept.values())
        for name, kept in list(self._kept.items()):
            if kept is not used and (size > MOST_KEPT_BYTES or len(self._kept) > MOST_KEPT):
                size -= kept.size
                del self._kept[name]


class _Waits:
    """Whether a record waits because its stream is parked."""

    def __init__(self, snapshot: Snapshot) -> None:
        parks: Sequence[Park] = snapshot.parked
        self._from: dict[tuple[str, str], int] = {}
        for park in parks:
            name = (park.category, park.stream)
            self._from[name] = min(park.first_offset, self._from.get(name, park.first_offset))

    def __call__(self, record: RowRecord) -> bool:
        if not record.meta.is_event:
            return False
        first = self._from.get((record.category.name, record.meta.stream))
        return first is not None and record.offset >= first
