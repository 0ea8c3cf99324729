"""The naive fold, too simple to be wrong: one event after another, in plain Python, from the declaration alone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from enum import Enum
from fractions import Fraction
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from refold.projections.declaring.carried import Carried, carried_within
from refold.projections.declaring.conditions import Both, Compare, Condition, Either
from refold.projections.declaring.declaration import Entity, EventType, Model, Rollup, handled
from refold.projections.declaring.event_table import EventTable
from refold.projections.declaring.expressions import ByEvent, Calendar, Day, Expression, Field, Part
from refold.projections.declaring.gathering import Column, Computed, Picked
from refold.projections.declaring.payload import Payload
from tests.projections import naive_values


@dataclass(frozen=True)
class Happened:
    """An event or rejection and the envelope that folds may read.

    `sub` counts those that one stored event was upcast to; `offset`: its place in its partition.
    """

    kind: EventType
    stream: str
    version: int
    occurred_at: datetime
    event: Any
    sub: int = 0
    offset: int = 0
    told: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """What is carried to it."""

    def get(self, name: str) -> Any:
        envelope = {
            "m_category": self.kind.category.name,
            "m_stream": self.stream,
            "m_version": self.version,
            "m_occurred_at": self.occurred_at,
            "m_recorded_at": self.occurred_at,
            "m_actor": None,
            "m_correlation_id": None,
            "m_offset": self.offset,
            "m_class": self.kind.event,
        }
        if name in self.told:
            return self.told[name]
        return _plain(envelope[name] if name in envelope else getattr(self.event, name))

    @property
    def place(self) -> tuple[int, int]:
        return self.version, self.sub

    @property
    def order(self) -> tuple[datetime, str, bytes, tuple[int, int], int]:
        """Rejections of one version follow its event, in the order of the log."""
        after = self.offset + 1 if self.kind.is_rejection else 0
        return self.occurred_at, self.kind.category.name, self.stream.encode(), self.place, after


def naive_rows(model: Model, log: Sequence[Happened]) -> list[dict[str, Any]]:
    """The rows that analysts see, sorted by key."""
    rows: dict[tuple[Any, ...], list[Happened]] = {}
    for item in _told(model, log):
        if item.kind in handled(model) and _has_row(model, item):
            rows.setdefault(_key(model, item), []).append(item)
    names = list(model.key) if isinstance(model, Rollup) else [model.key_name]
    found = []
    for at, items in rows.items():
        counted = _after_delete(model, items)
        if counted:
            cells = {name: _gathered(model, column, counted) for name, column in model.columns.items()}
            found.append({**dict(zip(names, at, strict=True)), **cells})
    return sorted(found, key=lambda row: tuple((row[name] is not None, row[name]) for name in names))


def _told(model: Model, log: Sequence[Happened]) -> Sequence[Happened]:
    """The events with what the latest of some types in their streams said: each looks through the whole log."""
    said = [part.value for part in model.key.values()] if isinstance(model, Rollup) else []
    said += [column.value for column in model.columns.values() if column.value is not None]
    conditions = [column.of.condition for column in model.columns.values()]
    wanted = {one for value in (*said, *conditions) for one in carried_within(value)}
    return [replace(item, told={one.column: _carried(one, item, log) for one in wanted}) for item in log]


def _carried(said: Carried, item: Happened, log: Sequence[Happened]) -> Any:
    before = [
        one
        for one in log
        if (one.kind.category, one.stream) == (item.kind.category, item.stream)
        and one.kind.event in said.types
        and one.place <= item.place
    ]
    return _value(said.value, max(before, key=lambda one: one.place)) if before else None


def _has_row(model: Model, item: Happened) -> bool:
    """An event table has rows only for events that fulfil its condition."""
    if not isinstance(model, EventTable) or model.of.condition is None:
        return True
    return _holds(model.of.condition, item)


def _key(model: Model, item: Happened) -> tuple[Any, ...]:
    if isinstance(model, Rollup):
        return tuple(_bounded(_value(part.value, item)) for part in model.key.values())
    return (item.stream,)


def _bounded(part: Any, most: int = 512) -> Any:
    """Of a key with up to three texts: what is longer than 512 bytes, or looks like a stand-in, has one."""
    if not isinstance(part, str) or (len(part.encode()) <= most and not re.search(r"~sha256:[0-9a-f]{64}\Z", part)):
        return part
    return f"{part[:64]}~sha256:{sha256(part.encode()).hexdigest()}"


def _after_delete(model: Model, items: list[Happened]) -> list[Happened]:
    if not isinstance(model, Entity) or model.deleted_when is None:
        return items
    deletes = [item.place for item in items if item.kind.event is model.deleted_when]
    return [item for item in items if item.place > max(deletes, default=(0, 0))]


def _gathered(model: Model, column: Column, items: list[Happened]) -> Any:
    chosen = [
        i
        for i in items
        if i.kind in column.of.types and (column.of.condition is None or _holds(column.of.condition, i))
    ]
    if column.gather == "count":
        return len(chosen)
    if isinstance(column, Computed) and column.given is not None:
        holding = [item for item in chosen if _holds(column.given, item)]
        return bool(holding) if column.gather == "any" else len(holding) == len(chosen)
    assert column.value is not None
    if column.gather in {"first", "last"}:
        ordered = sorted(chosen, key=lambda item: item.place if isinstance(model, Entity) else item.order)
        return _value(column.value, ordered[0 if column.gather == "first" else -1]) if ordered else None
    values = [value for item in chosen if (value := _value(column.value, item)) is not None]
    if column.gather in {"sum", "distinct"}:
        return sum(values) if column.gather == "sum" else len(set(values))
    if isinstance(column, Computed | Picked):
        return _chosen(column, values)
    return (min if column.gather == "min" else max)(values, default=None)


def _chosen(column: Computed | Picked, values: Sequence[Any]) -> Any:
    if isinstance(column, Picked):
        return naive_pick(column.share, [_bounded(value, 400) for value in values])
    return naive_statistic(column.gather, values, column.scale)


def naive_pick(share: Fraction | None, values: Sequence[Any]) -> Any:
    """The most common value, or a quantile, by their definitions."""
    if share is None:
        return min(values, key=lambda value: (-values.count(value), value), default=None)
    return min((v for v in values if Fraction(sum(one <= v for one in values), len(values)) >= share), default=None)


def naive_statistic(gather: str, values: Sequence[Any], scale: int | None) -> Decimal | None:
    """By the definition, with 300 digits, and rounded once; without `scale` there must be no values."""
    if len(values) < (1 if gather == "avg" else 2):
        return None
    assert scale is not None
    with localcontext(prec=300):
        mean = sum(map(Decimal, values), Decimal(0)) / len(values)
        if gather == "avg":
            found = mean
        else:  # by whole numbers, so that a tie stays one
            squares = sum((Decimal(value) ** 2 for value in values), Decimal(0)) * len(values)
            found = (squares - sum(map(Decimal, values), Decimal(0)) ** 2) / (len(values) * (len(values) - 1))
        rounded = found.sqrt() if gather == "stddev" else found
        return rounded.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)


def _value(value: Expression, item: Happened) -> Any:
    match value:
        case Field(name=name) | Carried(column=name):
            return item.get(name)
        case Day(of):
            at = _value(of, item)
            return None if at is None else at.astimezone(UTC).date()
        case Calendar(of, unit, zone):
            return calendar_part(_value(of, item), unit, zone)
        case ByEvent(words):
            return dict(words)[item.kind.event]
        case Part() | Payload():
            return item.sub if isinstance(value, Part) else payload_of(item.event)
    found = naive_values.value(value, item.get)
    return Decimal(found.numerator) / found.denominator if isinstance(found, Fraction) else found


def payload_of(event: Any) -> dict[str, Any]:
    """All fields as one object of JSON."""
    return {name: as_json(getattr(event, name)) for name in type(event).__struct_fields__}


def as_json(value: Any) -> Any:
    """A field's value as JSON has it. All decimals of the sample have two places."""
    match _plain(value):
        case Decimal() as number:
            return f"{number:.2f}"
        case datetime() as at:
            return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date() as on:
            return on.isoformat()
        case tuple() | list() as items:
            return [as_json(item) for item in items]
        case plain:
            return plain


def calendar_part(at: Any, unit: str, zone: str | None) -> Any:
    if at is None:
        return None
    local = at.astimezone(ZoneInfo(zone or "UTC")) if isinstance(at, datetime) and 1 < at.year < 9999 else at
    on = date(local.year, local.month, local.day)
    return {
        "day": on,
        "week": date.fromisocalendar(*on.isocalendar()[:2], 1),
        "month": on.replace(day=1),
        "quarter": on.replace(month=1 + 3 * ((on.month - 1) // 3), day=1),
        "year": on.year,
        "hour": getattr(local, "hour", None),
        "weekday": on.isoweekday(),
    }[unit]


def _holds(condition: Condition, item: Happened) -> bool:
    match condition:
        case Both(left, right):
            return _holds(left, item) and _holds(right, item)
        case Either(left, right):
            return _holds(left, item) or _holds(right, item)
        case Compare(name, operator, wanted):
            value = item.get(name)
            if value is None:
                return False
            wanted = tuple(map(_plain, wanted)) if isinstance(wanted, tuple) else _plain(wanted)
            compared = {"eq": "__eq__", "ne": "__ne__", "gt": "__gt__", "ge": "__ge__", "lt": "__lt__", "le": "__le__"}
            if isinstance(wanted, tuple):
                return value in wanted
            return bool(getattr(value, compared[operator])(wanted))
    return naive_values.holds(condition, item.get) is True


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
