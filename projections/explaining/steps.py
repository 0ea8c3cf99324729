"""Adds events to one row, one after another, by the engine that folds the model, and says which columns each event changed. Pure."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol, Self

from refold.projections.declaring.declaration import Entity, EventType, handled
from refold.projections.errors import EventFailed
from refold.projections.partials.author_fold import NEW, HeldRow
from refold.projections.partials.by_rows import identity_row, plan
from refold.projections.partials.evolve import row_after
from refold.projections.partials.places import PLACES
from refold.projections.partials.row_batch import row_of
from refold.projections.partials.row_values import Row
from refold.projections.tables.layout import DELETED, VERSION, Layout, Merge
from refold.projections.tables.shown_rows import shown_columns_in
from refold.schemas.arithmetic import EXACT
from refold.schemas.columns.upcast import SUB
from refold.schemas.contracts import Category, Event
from refold.schemas.errors import Undecodable
from refold.schemas.meta import Meta

CREATED, CHANGED, UNCHANGED, DELETES, FAILED = "created", "changed", "unchanged", "deleted", "failed"
Key = tuple[Any, ...]


@dataclass(frozen=True)
class RowRecord:
    """A stored event that concerns a row: its place in the log, its envelope, its type there, and today's events.

    `carried`: for each event what is carried to it, if the model carries values (`recalling`).
    """

    category: Category
    part: int
    offset: int
    meta: Meta
    stored_type: str
    events: tuple[Event, ...]
    carried: tuple[Row, ...] = ()


@dataclass(frozen=True)
class ColumnChange:
    """A column before and after an event; `adds` is the difference of a count or sum."""

    before: Any
    after: Any
    adds: Any = None


@dataclass(frozen=True)
class Change:
    """The effect of an event on the row, and the columns that it changed."""

    effect: str
    columns: Mapping[str, ColumnChange] = field(default_factory=dict)


class RowSteps(Protocol):
    """One row that events are added to, in order."""

    def take(self, record: RowRecord) -> Change:
        """Add an event."""
        ...

    def shown(self) -> dict[str, Any] | None:
        """The columns besides the key as readers see them, or None if there is no row."""
        ...

    def copied(self) -> Self:
        """A copy of the row so far: further steps on it do not change this one."""
        ...


def steps_of(layout: Layout, key: Key) -> RowSteps:
    """The empty row with this key."""
    return EvolvedSteps(layout) if layout.evolves else GatheredSteps(layout, key)


def key_events(layout: Layout, key: Key, record: RowRecord) -> list[tuple[EventType, Row]]:
    """The record's events that the model adds to the row with this key. Raises Undecodable."""
    kinds, found = handled(layout.model), []
    for sub, event in enumerate(record.events):
        kind = EventType(record.category, type(event))
        if kind in kinds:
            row = (
                row_of(record.meta, event, record.offset) | {SUB: sub} | (record.carried[sub] if record.carried else {})
            )
            if plan(layout, kind)[0](row) == key:
                found.append((kind, row))
    return found


def concerns(layout: Layout, key: Key, record: RowRecord) -> bool:
    """Whether the model adds an event of the record to the row with this key."""
    if layout.evolves:
        kinds = handled(layout.model)
        read = any(EventType(record.category, type(event)) in kinds for event in record.events)
        return read and (record.meta.stream,) == key
    try:
        return bool(key_events(layout, key, record))
    except Undecodable:
        return False


class GatheredSteps:
    """A row of a rollup or an entity, whose columns gather values of events."""

    def __init__(self, layout: Layout, key: Key, row: Row | None = None) -> None:
        self._layout, self._key, self._row = layout, key, row

    def take(self, record: RowRecord) -> Change:
        before = _told(self._layout, self._row) if self._row is not None and self.shown() is not None else None
        try:
            events = key_events(self._layout, self._key, record)
        except Undecodable:
            return Change(FAILED)
        for kind, event in events:
            model = self._layout.model
            is_delete = isinstance(model, Entity) and kind.event is model.deleted_when
            if self._row is None or is_delete:
                self._row = identity_row(self._layout)
            for step in plan(self._layout, kind)[1]:
                step(self._row, event)
        after = _told(self._layout, self._row) if self._row is not None and self.shown() is not None else None
        return _change(self._layout, before, after)

    def shown(self) -> dict[str, Any] | None:
        if self._row is None or (self._layout.deletes and self._row[VERSION] <= self._row[DELETED]):
            return None
        return shown_columns_in(self._layout, self._row)

    def copied(self) -> Self:
        if self._row is None:
            return type(self)(self._layout, self._key)
        sets = {part.name: copy(self._row[part.name]) for part in self._layout.sets}
        return type(self)(self._layout, self._key, self._row | sets)


class EvolvedSteps:
    """A row that the author's `evolve` computes."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._held: HeldRow = NEW

    def take(self, record: RowRecord) -> Change:
        before = self._told()
        kinds = handled(self._layout.model)
        placed = [
            (record.meta.version * PLACES + sub, event)
            for sub, event in enumerate(record.events)
            if EventType(record.category, type(event)) in kinds
        ]
        try:
            self._held = row_after(self._layout, self._held, placed)
        except EventFailed:
            return Change(FAILED)
        return _change(self._layout, before, self._told())

    def shown(self) -> dict[str, Any] | None:
        stored = self._stored()
        return None if stored is None else shown_columns_in(self._layout, stored)

    def _told(self) -> dict[str, Any] | None:
        stored = self._stored()
        return None if stored is None else _told(self._layout, stored)

    def _stored(self) -> dict[str, Any] | None:
        state = self._held.state
        if state is None:
            return None
        return {part.name: getattr(state, part.name) for part in self._layout.columns if part.doc is not None}

    def copied(self) -> Self:
        return copy(self)


def _change(layout: Layout, before: Row | None, after: Row | None) -> Change:
    """The change from one row to another, both as `_told`."""
    if after is None:
        changes = {name: ColumnChange(value, None) for name, value in (before or {}).items() if value is not None}
        return Change(UNCHANGED if before is None else DELETES, changes)
    columns = {}
    started = _told(layout, identity_row(layout)) if before is None else before
    added = {part.name for part in layout.columns if part.merge in (Merge.ADD, Merge.UNION)}
    for name, old in started.items():
        new = after[name]
        if old != new:
            adds = _difference(old, new) if name in added else None
            columns[name] = ColumnChange(None if before is None else old, new, adds)
    effect = CREATED if before is None else CHANGED if columns else UNCHANGED
    return Change(effect, columns)


def _told(layout: Layout, row: Row) -> Row:
    """What readers see of a row, and the sums and counts from which Postgres computes a column."""
    parts = {name: row[name] for derived in layout.derived for name in derived.parts}
    return shown_columns_in(layout, row) | parts


def _difference(old: Any, new: Any) -> Any:
    return EXACT.subtract(new, old) if isinstance(new, Decimal) or isinstance(old, Decimal) else new - old
