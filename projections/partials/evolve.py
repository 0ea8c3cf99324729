"""Folds entities in Python: reads the rows that a batch touches, evolves each event in order, and writes rows again.

If `evolve` raises, or returns a value that a column cannot hold, the stream is parked for this build; its later events
wait. Each stored event is checked on its own, so chunk limits do not decide which one parks. If one is upcast to
several, all of them count or none.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

import msgspec
import polars as pl

from refold.projections.declaring.declaration import Entity, EventType, Evolve
from refold.projections.declaring.sql_types import DIGITS
from refold.projections.errors import EventFailed
from refold.projections.partials.batch import Batch, Park
from refold.projections.partials.partial import Frames
from refold.projections.partials.places import PLACE, placed
from refold.projections.tables.layout import DELETED, VERSION, Layout, Stored
from refold.schemas.arithmetic import at_scale, authors_arithmetic
from refold.schemas.columns import envelope as m
from refold.schemas.columns.decoder import ROW
from refold.schemas.columns.values import values_of
from refold.schemas.contracts import Event
from refold.schemas.validate import all_from_log

Tell = Callable[[int, int], None]
"""Notes the partition and offset of the next record for `evolve`."""


@dataclass(frozen=True)
class HeldRow:
    """One row: its state (None: no event since the last delete), its place, and the place of the last delete."""

    state: msgspec.Struct | None
    version: int
    deleted: int = 0


Load = Callable[[list[str]], dict[str, HeldRow]]
NEW = HeldRow(None, 0)
_NO_OFFSET = timedelta(0)


@dataclass(frozen=True)
class Evolved:
    """The rows that changed, the streams that failed, and the number of waiting events by stream."""

    rows: dict[str, HeldRow]
    parks: list[Park] = field(default_factory=list)
    waiting: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EvolveTarget:
    """A build of an evolved entity, and the function that is told of each record before `evolve` folds its events."""

    layout: Layout
    build: int
    tell: Tell | None = None


def evolve_batch(target: EvolveTarget, batch: Batch, frames: Frames, parked: Iterable[Park], load: Load) -> Evolved:
    """Fold the batch's events into the rows that `load` returns."""
    layout, tell = target.layout, target.tell
    waits = {park.stream: park for park in parked}
    touched = sorted({stream for frame in frames.values() for stream in frame[m.STREAM].unique()})
    rows = load(touched)
    changed: dict[str, HeldRow] = {}
    parks: list[Park] = []
    waiting: dict[str, int] = {}
    for row, stream, record in _by_record(frames):
        held = changed.get(stream) or rows.get(stream, NEW)
        offset = int(batch.offsets[row])
        if stream in waits and offset >= waits[stream].first_offset:
            waiting[stream] = waiting.get(stream, 0) + 1
        elif record[-1][0] > held.version:
            if tell is not None:
                tell(int(batch.parts[row]), offset)
            try:
                changed[stream] = row_after(layout, held, record)
            except EventFailed as failed:
                part = int(batch.parts[row])
                waits[stream] = Park(
                    target.build,
                    batch.category,
                    stream,
                    part,
                    offset,
                    failed.code,
                    f"{part}:{offset}: {failed.message}",
                )
                parks.append(waits[stream])
                waiting[stream] = 1
    return Evolved(changed, parks, waiting)


def rows_of(layout: Layout, held: Mapping[str, HeldRow]) -> pl.DataFrame:
    """Held rows as a partial of the model, sorted by key."""
    columns: dict[str, list[Any]] = {part.name: [] for part in layout.stored}
    for stream in sorted(held):
        row = held[stream]
        cells = {layout.key_names[0]: stream, VERSION: row.version, DELETED: row.deleted}
        for name, values in columns.items():
            values.append(cells[name] if name in cells else getattr(row.state, name, None))
    return pl.DataFrame(columns, schema={part.name: part.type.dtype for part in layout.stored})


def held_of(layout: Layout, row: Mapping[str, Any]) -> HeldRow:
    """A stored row as `Held`."""
    rules, _ = _rules(layout)
    version, deleted = row[VERSION], row.get(DELETED, 0)
    names = rules.state.__struct_fields__
    return HeldRow(
        rules.state(**{name: _in_utc(row[name]) for name in names}) if version > deleted else None, version, deleted
    )


def _in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _rules(layout: Layout) -> tuple[Evolve, type[Event] | None]:
    assert isinstance(layout.model, Entity)
    assert layout.model.evolve is not None
    return layout.model.evolve, layout.model.deleted_when


Placed = tuple[int, Event]
"""An event and its place in its stream."""


def _by_record(frames: Frames) -> Iterator[tuple[int, str, list[Placed]]]:
    """The events of each record, ordered by place in the log: one, or several that a retired event was upcast to."""
    found = [item for kind, frame in frames.items() for item in _events(kind, frame)]
    found.sort(key=lambda item: item[:3])
    for (row, stream), items in groupby(found, key=lambda item: item[:2]):
        yield row, stream, [(place, event) for _, _, place, event in items]


def _events(kind: EventType, frame: pl.DataFrame) -> list[tuple[int, str, int, Event]]:
    heads = placed(frame).select(ROW, m.STREAM, PLACE).iter_rows()
    columns = [values_of(frame[name]) for name in kind.event.__struct_fields__]
    events = all_from_log(columns, frame.height, kind.event)
    return [(*head, event) for head, event in zip(heads, events, strict=True)]


def row_after(layout: Layout, held: HeldRow, record: Sequence[Placed]) -> HeldRow:
    """The row after all events of one record. Raises EventFailed."""
    rules, deleted_when = _rules(layout)
    for place, event in record:
        held = _next(layout, rules, deleted_when, held, place, event)
    return held


def _next(
    layout: Layout, rules: Evolve, deleted_when: type[Event] | None, held: HeldRow, version: int, event: Event
) -> HeldRow:
    if deleted_when is not None and isinstance(event, deleted_when):
        return HeldRow(None, version, version)
    try:
        with authors_arithmetic():
            state = rules.fold(held.state, event)
    except Exception as problem:  # an author's code may raise anything; it parks the stream and nothing else
        raise EventFailed(0, f"{type(problem).__name__}: {problem}") from problem
    if not isinstance(state, rules.state):
        raise EventFailed(0, f"evolve gave {type(state).__name__}, not {rules.state.__name__}")
    return HeldRow(_as_stored(layout, state), version, held.deleted)


def _as_stored(layout: Layout, state: msgspec.Struct) -> msgspec.Struct:
    """The state as it reads back from its row, so that the next event meets the same state wherever a chunk ends.

    Raises EventFailed.
    """
    changes = {}
    for part in layout.columns:
        if part.doc is not None:
            value = getattr(state, part.name)
            fixed = _checked(part, value)
            if fixed is not value:
                changes[part.name] = fixed
    return msgspec.structs.replace(state, **changes) if changes else state


def _checked(part: Stored, value: Any) -> Any:
    """The value as the column holds it. Raises EventFailed if the column cannot hold it."""
    if value is None:
        return None
    if type(value) is part.type.dtype.to_python():
        match value:
            case Decimal():
                fixed = _decimal(part, value)
                if fixed is not None:
                    return fixed
            case datetime():
                if value.utcoffset() == _NO_OFFSET:
                    return value if value.tzinfo is UTC else value.astimezone(UTC)
            case _ if _fits(value):
                return value
    raise EventFailed(0, f"{part.name} cannot hold {value!r:.100}")


def _fits(value: Any) -> bool:
    match value:
        case bool() | date():
            return True
        case int():
            return -(2**63) <= value < 2**63
        case str():
            return _encodes(value)
    return False


def _encodes(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _decimal(part: Stored, value: Decimal) -> Decimal | None:
    """The decimal at the column's scale: equal numbers have equal texts, and Polars loses digits of other scales."""
    dtype = part.type.dtype
    assert isinstance(dtype, pl.Decimal)
    fixed = at_scale(value, dtype.scale)
    if fixed is None or len(fixed.as_tuple().digits) > DIGITS:
        return None
    return value if fixed.compare_total(value) == 0 else fixed
