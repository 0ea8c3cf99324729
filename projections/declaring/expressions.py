"""Values of one event, as data: fields and what is computed from them. The set is closed, so each has one meaning in both engines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_in
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from typing import Any, Literal

from refold.projections.declaring.carried import Carried
from refold.projections.declaring.conditions import (
    Arithmetic,
    Compare,
    CompareValue,
    Condition,
    Constant,
    Number,
    Operator,
    Value,
)
from refold.schemas.columns import envelope as m
from refold.schemas.contracts import Event


@dataclass(frozen=True)
class Field(Value):
    """A field of the event, or of its envelope (`m_occurred_at`, `m_stream`, `m_version`, `m_actor`)."""

    name: str

    def _compared(self, operator: Operator, value: Constant | Value | tuple[Constant, ...]) -> Condition:
        if isinstance(value, Value):
            return CompareValue(self, operator, value)
        return Compare(self.name, operator, value)


@dataclass(frozen=True)
class Day(Value):
    """The day (UTC) of a time."""

    of: Value


Unit = Literal["day", "week", "month", "quarter", "year", "hour", "weekday"]


@dataclass(frozen=True)
class Calendar(Value):
    """A part of a time in a zone (None: UTC), or of a date."""

    of: Value
    unit: Unit
    zone: str | None = None


@dataclass(frozen=True)
class ByEvent(Value):
    """A word for each type of event: `by_event({BasketPaid: "paid"})`."""

    words: tuple[tuple[type[Event], str], ...]


@dataclass(frozen=True)
class TypeName(Value):
    """The name of the event's type, as today's code reads it."""


@dataclass(frozen=True)
class Case(Value):
    """The value of the first condition that holds, or `otherwise`; a constant or None may stand for a value."""

    branches: tuple[tuple[Condition, Value | Constant], ...]
    otherwise: Value | Constant | None


@dataclass(frozen=True)
class Coalesce(Value):
    """The first value that is not missing; the last may be a constant."""

    options: tuple[Value | Constant, ...]


@dataclass(frozen=True)
class Bucket(Value):
    """The label of the range in which a number, time or date lies: the first bound is above the first range, and in the second one."""

    of: Value
    bounds: tuple[Constant, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Step(Value):
    """The greatest multiple of a width that is not greater than a number."""

    of: Value
    width: int | Decimal


Function = Literal["lower", "upper", "trim", "left", "length"]


@dataclass(frozen=True)
class OfText(Value):
    """A function of a text; `count`: the letters of `left`."""

    function: Function
    of: Value
    count: int = 0


@dataclass(frozen=True)
class Concat(Value):
    """Texts and constants in a row; null if one of them is."""

    parts: tuple[Value | str, ...]


Length = Literal["seconds", "minutes", "hours", "days"]
SECONDS: dict[Length, int] = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
"""Seconds of each unit of time."""


@dataclass(frozen=True)
class Between(Value):
    """Whole units from one time or date to a later one, without the rest; negative if the other way round."""

    start: Value
    end: Value
    unit: Length


@dataclass(frozen=True)
class Part(Value):
    """The number of an event among those that one retired event was upcast to, from 0."""


Expression = Value

OCCURRED_AT = Field(m.OCCURRED_AT)
RECORDED_AT = Field(m.RECORDED_AT)
CATEGORY = Field(m.CATEGORY)
STREAM = Field(m.STREAM)
VERSION = Field(m.VERSION)
ACTOR = Field(m.ACTOR)
CORRELATION_ID = Field(m.CORRELATION_ID)
EVENT_TYPE = TypeName()


def field(name: str) -> Field:
    """A field by name."""
    return Field(name)


def day(of: str | Value, zone: str | None = None) -> Day | Calendar:
    """The day of a time, in UTC or in a zone such as `Europe/Berlin`."""
    return Day(_value(of)) if zone is None else Calendar(_value(of), "day", zone)


def week(of: str | Value, zone: str | None = None) -> Calendar:
    """The Monday of the week of a time or a date."""
    return Calendar(_value(of), "week", zone)


def month(of: str | Value, zone: str | None = None) -> Calendar:
    """The first day of the month of a time or a date."""
    return Calendar(_value(of), "month", zone)


def quarter(of: str | Value, zone: str | None = None) -> Calendar:
    """The first day of the quarter of a time or a date."""
    return Calendar(_value(of), "quarter", zone)


def year(of: str | Value, zone: str | None = None) -> Calendar:
    """The year of a time or a date, as a number."""
    return Calendar(_value(of), "year", zone)


def hour(of: str | Value, zone: str | None = None) -> Calendar:
    """The hour of the day of a time, 0 to 23."""
    return Calendar(_value(of), "hour", zone)


def weekday(of: str | Value, zone: str | None = None) -> Calendar:
    """The day of the week of a time or a date, 1 (Monday) to 7."""
    return Calendar(_value(of), "weekday", zone)


def by_event(words: Mapping[type[Event], str | Enum]) -> ByEvent:
    """A word for each type of event; a member of an enum stands for its value."""
    return ByEvent(tuple((kind, word.value if isinstance(word, Enum) else word) for kind, word in words.items()))


def divide(left: str | Number, right: str | Number, scale: int) -> Arithmetic:
    """A quotient with so many places, rounded as in SQL (half away from zero); null where the divisor is 0."""
    return Arithmetic("div", _number(left), _number(right), scale)


def case(*branches: tuple[Condition, Value | Constant], otherwise: Value | Constant | None = None) -> Case:
    """The value beside the first condition that holds: `case((field("grams").gt(2000), "large"), otherwise="small")`."""
    return Case(tuple(branches), otherwise)


def coalesce(*options: str | Value, otherwise: Constant | None = None) -> Coalesce:
    """The first of some fields or values that is there, or else a constant."""
    found = tuple(_value(option) for option in options)
    return Coalesce(found if otherwise is None else (*found, otherwise))


def bucket(of: str | Value, bounds: Sequence[Constant], labels: Sequence[str] = ()) -> Bucket:
    """A label for each range: `bucket("days", [7, 30])` gives "below 7", "7 to 30" (30 excluded), "30 and more"."""
    said = [_said(bound) for bound in bounds]
    between = [f"{low} to {high}" for low, high in pairwise(said)]
    made = [f"below {said[0]}", *between, f"{said[-1]} and more"] if said else []
    return Bucket(_value(of), tuple(bounds), tuple(labels or made))


def step(of: str | Value, width: int | Decimal) -> Step:
    """The lower end of the range of equal width in which a number lies, as for a histogram."""
    return Step(_value(of), width)


def lower(of: str | Value) -> OfText:
    """A text in small letters."""
    return OfText("lower", _value(of))


def upper(of: str | Value) -> OfText:
    """A text in capital letters."""
    return OfText("upper", _value(of))


def trim(of: str | Value) -> OfText:
    """A text without blanks, tabs and line ends around it."""
    return OfText("trim", _value(of))


def left(of: str | Value, count: int) -> OfText:
    """The first letters of a text."""
    return OfText("left", _value(of), count)


def length(of: str | Value) -> OfText:
    """The number of letters (code points) of a text."""
    return OfText("length", _value(of))


def concat(*parts: Value | str) -> Concat:
    """Texts in a row. A plain text is a constant here: `concat(field("country"), "-", field("city"))`."""
    return Concat(parts)


def between(start: str | Value, end: str | Value, unit: Length) -> Between:
    """Whole seconds, minutes, hours or days from a time to a time, or days from a date to a date."""
    return Between(_value(start), _value(end), unit)


def carried(of: type[Event] | tuple[type[Event], ...], value: str | Value) -> Carried:
    """A value of the latest event of a type, or of some types, in the same stream so far; null if there was none."""
    return Carried(of if isinstance(of, tuple) else (of,), _value(value))


def fields_of(said: Any) -> set[str]:
    """The fields that an expression or a condition reads."""
    match said:
        case Field(name):
            return {name}
        case Compare(name):
            return {name}
        case Carried():
            return {said.column}
        case tuple():
            return {name for part in said for name in fields_of(part)}
        case Value() | Condition():
            return {name for part in fields_in(said) for name in fields_of(getattr(said, part.name))}
        case _:
            return set()


def _value(of: str | Value) -> Value:
    return Field(of) if isinstance(of, str) else of


def _number(of: str | Number) -> Number:
    return Field(of) if isinstance(of, str) else of


def _said(bound: Constant) -> str:
    return str(bound.value if isinstance(bound, Enum) else bound)
