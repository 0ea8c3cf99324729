"""Folds entities in Python: reads the rows that a batch touches, evolves each stream's events, and writes rows again.

If `evolve` raises, or returns a value that a column cannot hold, the stream is parked for this build; its later events
wait. Each stored event is checked on its own, so chunk limits do not decide which one parks. If one is upcast to
several, all of them count or none.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

import polars as pl

from refold.projections.errors import EventFailed
from refold.projections.partials.author_fold import NEW, HeldRow, Step, author_fold
from refold.projections.partials.batch import Batch, Park
from refold.projections.partials.ordered_events import ordered_events
from refold.projections.partials.partial import Frames
from refold.projections.tables.layout import DELETED, VERSION, Layout
from refold.schemas.contracts import Event

Tell = Callable[[int, int], None]
"""Notes the partition and offset of the next record for `evolve`."""
Load = Callable[[list[str]], dict[str, HeldRow]]


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
    """Fold the batch's events into the rows that `load` returns, stream by stream."""
    fold, waits = author_fold(target.layout), {park.stream: park.first_offset for park in parked}
    ordered = ordered_events(frames)
    held_rows, tell = load(sorted(ordered.streams)), _teller(target, batch)
    changed: dict[str, HeldRow] = {}
    failures: list[tuple[int, Park]] = []
    waiting: dict[str, int] = {}
    for stream, rows, steps in ordered.by_stream():
        held, late = held_rows.get(stream, NEW), None
        if stream in waits:
            late = next((row for row in rows if batch.offsets[row] >= waits[stream]), None)
        ran = fold.run(held, steps if late is None else _before(late, steps), tell)
        if ran.held.version != held.version:
            changed[stream] = ran.held
        if ran.failed is not None:
            late = ran.row
            failures.append((late, _park(target, batch, stream, late, ran.failed)))
        if late is not None:
            waiting[stream] = len({row for row in rows if row >= late})
    return Evolved(changed, [park for _, park in sorted(failures, key=lambda found: found[0])], waiting)


def _before(row: int, steps: Iterable[Step]) -> Iterable[Step]:
    return takewhile(lambda step: step[0] < row, steps)


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
    state, version, deleted = author_fold(layout).state, row[VERSION], row.get(DELETED, 0)
    if version <= deleted:
        return HeldRow(None, version, deleted)
    return HeldRow(state(**{name: _in_utc(row[name]) for name in state.__struct_fields__}), version, deleted)


def _in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _teller(target: EvolveTarget, batch: Batch) -> Callable[[int], None] | None:
    tell = target.tell
    return None if tell is None else lambda row: tell(int(batch.parts[row]), int(batch.offsets[row]))


def _park(target: EvolveTarget, batch: Batch, stream: str, row: int, failed: EventFailed) -> Park:
    part, offset = int(batch.parts[row]), int(batch.offsets[row])
    reason = f"{part}:{offset}: {failed.message}"
    return Park(target.build, batch.category, stream, part, offset, failed.code, reason)


Placed = tuple[int, Event]
"""An event and its place in its stream."""


def row_after(layout: Layout, held: HeldRow, record: Sequence[Placed]) -> HeldRow:
    """The row after all events of one record. Raises EventFailed."""
    ran = author_fold(layout).run(held, [(0, place, record[-1][0], event) for place, event in record])
    if ran.failed is not None:
        raise ran.failed
    return ran.held
