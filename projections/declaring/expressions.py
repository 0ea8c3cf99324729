"""Values and conditions of one event, as data. The set is closed, so each has one meaning in both engines.

A constant has the type of the field that it is compared with (`constants`). Comparisons are SQL's: none holds for a
missing (null) field, not even `ne`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Literal

from refold.projections.errors import BadDeclaration
from refold.schemas.columns import envelope as m
from refold.schemas.contracts import Event

Constant = int | str | bool | Decimal | date | datetime | Enum
Operator = Literal["eq", "ne", "gt", "ge", "lt", "le", "in"]


@dataclass(frozen=True)
class Condition:
    """A condition on an event. Combine with `&` and `|`."""

    def __bool__(self) -> bool:
        """Raise BadDeclaration: Python's `and`, `or` and `not` would silently drop a condition."""
        raise BadDeclaration(f"{self!r} holds of an event, not by itself: join conditions by & and |, in parentheses")

    def __and__(self, other: "Condition") -> "Condition":
        return Both(self, other)

    def __or__(self, other: "Condition") -> "Condition":
        return Either(self, other)


@dataclass(frozen=True)
class Compare(Condition):
    """A field compared with a constant, or with several (`in`)."""

    field: str
    operator: Operator
    value: Constant | tuple[Constant, ...]


@dataclass(frozen=True)
class Both(Condition):
    """Two conditions at once."""

    left: Condition
    right: Condition


@dataclass(frozen=True)
class Either(Condition):
    """One condition or the other."""

    left: Condition
    right: Condition


@dataclass(frozen=True)
class Field:
    """A field of the event, or of its envelope (`m_occurred_at`, `m_stream`, `m_version`, `m_actor`)."""

    name: str

    def eq(self, value: Constant) -> Condition:
        return Compare(self.name, "eq", value)

    def ne(self, value: Constant) -> Condition:
        return Compare(self.name, "ne", value)

    def gt(self, value: Constant) -> Condition:
        return Compare(self.name, "gt", value)

    def ge(self, value: Constant) -> Condition:
        return Compare(self.name, "ge", value)

    def lt(self, value: Constant) -> Condition:
        return Compare(self.name, "lt", value)

    def le(self, value: Constant) -> Condition:
        return Compare(self.name, "le", value)

    def is_in(self, *values: Constant) -> Condition:
        return Compare(self.name, "in", values)


@dataclass(frozen=True)
class Day:
    """The day (UTC) of a time."""

    of: Field


Unit = Literal["day", "week", "month", "quarter", "year", "hour", "weekday"]


@dataclass(frozen=True)
class Calendar:
    """A part of a time in a zone (None: UTC), or of a date."""

    of: Field
    unit: Unit
    zone: str | None = None


@dataclass(frozen=True)
class ByEvent:
    """A word for each type of event: `by_event({BasketPaid: "paid"})`."""

    words: tuple[tuple[type[Event], str], ...]


Expression = Field | Day | Calendar | ByEvent

OCCURRED_AT = Field(m.OCCURRED_AT)
STREAM = Field(m.STREAM)


def field(name: str) -> Field:
    """A field by name."""
    return Field(name)


def day(of: str | Field, zone: str | None = None) -> Day | Calendar:
    """The day of a time, in UTC or in a zone such as `Europe/Berlin`."""
    return Day(_field(of)) if zone is None else Calendar(_field(of), "day", zone)


def week(of: str | Field, zone: str | None = None) -> Calendar:
    """The Monday of the week of a time or a date."""
    return Calendar(_field(of), "week", zone)


def month(of: str | Field, zone: str | None = None) -> Calendar:
    """The first day of the month of a time or a date."""
    return Calendar(_field(of), "month", zone)


def quarter(of: str | Field, zone: str | None = None) -> Calendar:
    """The first day of the quarter of a time or a date."""
    return Calendar(_field(of), "quarter", zone)


def year(of: str | Field, zone: str | None = None) -> Calendar:
    """The year of a time or a date, as a number."""
    return Calendar(_field(of), "year", zone)


def hour(of: str | Field, zone: str | None = None) -> Calendar:
    """The hour of the day of a time, 0 to 23."""
    return Calendar(_field(of), "hour", zone)


def weekday(of: str | Field, zone: str | None = None) -> Calendar:
    """The day of the week of a time or a date, 1 (Monday) to 7."""
    return Calendar(_field(of), "weekday", zone)


def _field(of: str | Field) -> Field:
    return Field(of) if isinstance(of, str) else of


def by_event(words: Mapping[type[Event], str | Enum]) -> ByEvent:
    """A word for each type of event; a member of an enum stands for its value."""
    return ByEvent(tuple((kind, word.value if isinstance(word, Enum) else word) for kind, word in words.items()))


def fields_of(said: Expression | Condition | None) -> set[str]:
    """The fields that an expression or a condition reads."""
    match said:
        case Field(name) | Day(Field(name)) | Calendar(Field(name)) | Compare(name):
            return {name}
        case Both(left, right) | Either(left, right):
            return fields_of(left) | fields_of(right)
        case _:
            return set()
