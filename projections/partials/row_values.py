"""Expressions and conditions of one event, as plain Python. `column_values` is the same function of a column of events."""

import operator
from collections.abc import Callable, Iterable
from typing import Any

from refold.projections.declaring.constants import constants
from refold.projections.declaring.expressions import (
    Both,
    ByEvent,
    Calendar,
    Compare,
    Condition,
    Day,
    Either,
    Expression,
    Field,
)
from refold.projections.declaring.field_types import EventType
from refold.projections.partials import calendar

Row = dict[str, Any]
"""An event (the envelope's fields as m_…, then its own), or a row of a table."""


def value_of(kind: EventType, said: Expression) -> Callable[[Row], Any]:
    """An expression over the events of one type, as a function of one of them."""
    match said:
        case Field(name):
            return operator.itemgetter(name)
        case Day(of) | Calendar(of):
            part = calendar.by_row(said)
            return lambda event: part(event[of.name])
        case ByEvent(words):
            word = dict(words)[kind.event]
            return lambda _: word


def condition_of(kind: EventType, said: Condition | None) -> Callable[[Row], bool]:
    """A condition on the events of one type; unknown counts as false."""
    match said:
        case None:
            return lambda _: True
        case Both(left, right):
            return _all((condition_of(kind, left), condition_of(kind, right)))
        case Either(left, right):
            one, other = condition_of(kind, left), condition_of(kind, right)
            return lambda event: one(event) or other(event)
        case Compare(name, "in"):
            values = constants(kind, said)
            return lambda event: event[name] is not None and event[name] in values
        case Compare(name, compared):
            compare, (value,) = getattr(operator, compared), constants(kind, said)
            return lambda event: event[name] is not None and compare(event[name], value)
        case _:
            raise TypeError(said)


def _all(conditions: Iterable[Callable[[Row], bool]]) -> Callable[[Row], bool]:
    both = tuple(conditions)
    return lambda event: all(holds(event) for holds in both)
