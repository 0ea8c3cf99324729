"""Partial results of a few events in plain Python: the same function as `partial.partial_of`.

A Polars expression costs some 0.3 ms before its first row, and a model needs a dozen. For the one or two events of a
live chunk that was most of a transaction's time. tests/projections/test_partial.py compares both with one naive fold.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import polars as pl

from refold.projections.declaring.aggregates import order_column
from refold.projections.declaring.declaration import Entity, EventType, Rollup, handled
from refold.projections.declaring.expressions import ByEvent, TypeName
from refold.projections.declaring.gathering import Column
from refold.projections.declaring.value_types import value_type
from refold.projections.partials import long_keys
from refold.projections.partials.partial import TIME_SHIFT
from refold.projections.partials.places import PLACES
from refold.projections.partials.row_values import Row, condition_of, value_of
from refold.projections.partials.value_sets import bounded_by
from refold.projections.tables.layout import DELETED, VERSION, Layout, Merge, Stored
from refold.projections.tables.picked import CountedValues
from refold.schemas.arithmetic import EXACT
from refold.schemas.binary import micros_of
from refold.schemas.columns import envelope as m
from refold.schemas.columns.upcast import SUB

Step = Callable[[Row, Row], None]
"""Adds an event (second) to a row (first)."""


def partial_columns(layout: Layout, events: Mapping[EventType, Sequence[Row]]) -> dict[str, list[Any]]:
    """The events' addition to the model: all stored columns, one row for each key, in the order of the keys."""
    rows: dict[tuple[Any, ...], Row] = {}
    for kind, happened in _since_last_delete(layout, events).items():
        key_of, steps = plan(layout, kind)
        for event in happened:
            key = key_of(event)
            if key is None:
                continue
            row = rows.get(key)
            if row is None:
                row = rows[key] = identity_row(layout)
            for step in steps:
                step(row, event)
    ordered = sorted(rows, key=lambda key: [(part is not None, part) for part in key])
    columns = {name: [key[place] for key in ordered] for place, name in enumerate(layout.key_names)}
    columns |= {part.name: [rows[key][part.name] for key in ordered] for part in layout.columns}
    return columns | {part.name: [_listed(held) for held in columns[part.name]] for part in layout.sets}


def _listed(held: set[Any] | CountedValues) -> list[Any]:
    return held.listed() if isinstance(held, CountedValues) else sorted(held)


def identity_row(layout: Layout) -> Row:
    """A row to which no event has been added. A set in it is its own, and grows in place."""
    return {part.name: _identity(part) for part in layout.columns}


def _identity(part: Stored) -> Any:
    if part.merge is Merge.ADD:
        dtype = part.type.dtype
        return EXACT.scaleb(Decimal(0), -dtype.scale) if isinstance(dtype, pl.Decimal) and dtype.scale else 0
    if part.merge is Merge.UNION:
        return set()
    if part.merge is Merge.COUNTED:
        return CountedValues()
    return 0 if part.name in (VERSION, DELETED) else None


def _since_last_delete(layout: Layout, events: Mapping[EventType, Sequence[Row]]) -> dict[EventType, Sequence[Row]]:
    """The events that the model handles, and of each stream only those after its last delete."""
    model = layout.model
    found = {kind: events[kind] for kind in handled(model) if kind in events}
    if not isinstance(model, Entity) or model.deleted_when is None:
        return found
    last: dict[str, int] = {}
    for event in found.get(EventType(model.category, model.deleted_when), ()):
        last[event[m.STREAM]] = max(_place_in_stream(event), last.get(event[m.STREAM], 0))
    return {
        kind: [event for event in happened if _place_in_stream(event) >= last.get(event[m.STREAM], 0)]
        for kind, happened in found.items()
    }


@cache
def plan(layout: Layout, kind: EventType) -> tuple[Callable[[Row], tuple[Any, ...] | None], list[Step]]:
    """How an event of the type finds its row, or that it has none, and the steps by which it changes the row."""
    model = layout.model
    if isinstance(model, Rollup):
        parts = [_key_part(layout, kind, name) for name in model.key]
        steps = _gathering(layout, kind)
        if model.row_events is not None and model.row_events.condition is not None:
            has_row = condition_of(kind, model.row_events.condition)
            return lambda event: tuple(part(event) for part in parts) if has_row(event) else None, steps
        return lambda event: tuple(part(event) for part in parts), steps
    key_of: Callable[[Row], tuple[Any, ...] | None] = lambda event: (event[m.STREAM],)  # noqa: E731 - beside the other one
    is_delete = kind.event is model.deleted_when
    steps = [] if is_delete else _gathering(layout, kind)
    return key_of, [*steps, *([_version(is_delete=is_delete)] if layout.deletes else [])]


def _key_part(layout: Layout, kind: EventType, name: str) -> Callable[[Row], Any]:
    """One part of a rollup's key, of a bounded length."""
    assert isinstance(layout.model, Rollup)
    said = layout.model.key[name].value
    value, bounded = value_of(kind, said), long_keys.bounded(layout, name)
    if bounded is None or isinstance(said, ByEvent | TypeName):
        return value
    return lambda event: bounded(value(event))


def _gathering(layout: Layout, kind: EventType) -> list[Step]:
    columns = {name: column for name, column in layout.gathers.items() if kind in column.of.types}
    sets = {part.name for part in layout.sets}
    plain = [
        _step(kind, name, c) for name, c in columns.items() if name not in sets and c.gather not in {"first", "last"}
    ]
    plain += [_member(layout, kind, name, c) for name, c in columns.items() if name in sets]
    chosen: dict[str, dict[str, Column]] = {}
    for name, column in columns.items():
        order = order_column(column, layout.gathers.values())
        if order is not None:
            chosen.setdefault(order, {})[name] = column
    return plain + [_choice(layout, kind, order, alike) for order, alike in chosen.items()]


def _step(kind: EventType, name: str, column: Column) -> Step:
    holds = condition_of(kind, column.of.condition)
    value = (lambda _: 1) if column.value is None else value_of(kind, column.value)
    add: Callable[[Any, Any], Any] = {"min": min, "max": max, "value": min}.get(column.gather) or _add(kind, column)

    def step(row: Row, event: Row) -> None:
        if holds(event) and (found := value(event)) is not None:
            row[name] = found if row[name] is None else add(row[name], found)

    return step


def _member(layout: Layout, kind: EventType, name: str, column: Column) -> Step:
    """Adds a value to a set."""
    assert column.value is not None
    holds, value = condition_of(kind, column.of.condition), value_of(kind, column.value)
    bounded = bounded_by(layout, name) or (lambda said: said)

    def step(row: Row, event: Row) -> None:
        if holds(event) and (found := value(event)) is not None:
            row[name].add(bounded(found))

    return step


def _add(kind: EventType, column: Column) -> Callable[[Any, Any], Any]:
    """Add exactly: Python's `+` would round decimals to the digits of the thread's context."""
    is_decimal = column.value is not None and isinstance(value_type(kind, column.value, "")[0].dtype, pl.Decimal)
    return EXACT.add if is_decimal else operator.add


def _choice(layout: Layout, kind: EventType, order: str, alike: Mapping[str, Column]) -> Step:
    """Columns that take their values from one event: the first or the last that fulfils the condition."""
    one = next(iter(alike.values()))
    holds, place = (
        condition_of(kind, one.of.condition),
        _place_in_stream if isinstance(layout.model, Entity) else _place(kind),
    )
    goes_before: Callable[[Any, Any], bool] = operator.lt if one.gather == "first" else operator.gt
    values = [(name, value_of(kind, column.value)) for name, column in alike.items() if column.value is not None]

    def step(row: Row, event: Row) -> None:
        if holds(event):
            at = place(event)
            if row[order] is None or goes_before(at, row[order]):
                row[order] = at
                for name, value in values:
                    row[name] = value(event)

    return step


def _version(*, is_delete: bool) -> Step:
    def step(row: Row, event: Row) -> None:
        row[VERSION] = max(row[VERSION], _place_in_stream(event))
        if is_delete:
            row[DELETED] = max(row[DELETED], _place_in_stream(event))

    return step


def _place_in_stream(event: Row) -> int:
    """The event's place in its stream, counted as in `partial.placed`."""
    return int(event[m.VERSION]) * PLACES + int(event.get(SUB) or 0)


def _place(kind: EventType) -> Callable[[Row], str]:
    """The text by which `partial` orders events."""

    def place(event: Row) -> str:
        return f"{micros_of(event[m.OCCURRED_AT]) + TIME_SHIFT} {kind.category.name} {event[m.STREAM]} {_place_in_stream(event):019d}"

    def place_of_rejection(event: Row) -> str:
        return f"{place(event)} {event[m.OFFSET]:019d}"

    return place_of_rejection if kind.is_rejection else place
