"""Expressions and conditions of one event, as plain Python. `column_values` is the same function of a column of events."""

import operator
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from refold.projections.declaring.carried import Carried
from refold.projections.declaring.conditions import (
    Absolute,
    Arithmetic,
    Both,
    Compare,
    CompareValue,
    Condition,
    Either,
    IsNull,
    Not,
    StartsWith,
    Value,
)
from refold.projections.declaring.constants import constants, of_type
from refold.projections.declaring.expressions import (
    SECONDS,
    Between,
    Bucket,
    ByEvent,
    Calendar,
    Case,
    Coalesce,
    Concat,
    Day,
    Expression,
    Field,
    OfText,
    Part,
    Step,
    TypeName,
)
from refold.projections.declaring.field_types import EventType
from refold.projections.declaring.number_types import number_type
from refold.projections.declaring.payload import Payload
from refold.projections.declaring.sql_types import DATE, ColumnType
from refold.projections.declaring.value_types import compared_values, operand_type, value_type
from refold.projections.partials import calendar, payloads, plain_texts
from refold.schemas.arithmetic import EXACT
from refold.schemas.columns.upcast import SUB

Row = dict[str, Any]
"""An event (the envelope's fields as m_…, then its own), or a row of a table."""
Read = Callable[[Row], Any]
"""Gives a value of an event."""
_NO_TIME = timedelta(0)


def value_of(kind: EventType, said: Expression) -> Read:
    """An expression over the events of one type, as a function of one of them."""
    match said:
        case Field(name):
            return operator.itemgetter(name)
        case Carried():
            return operator.itemgetter(said.column)
        case Day(of) | Calendar(of):
            part, whole = calendar.by_row(said), value_of(kind, of)
            return lambda event: part(whole(event))
        case ByEvent() | TypeName():
            word = dict(said.words)[kind.event] if isinstance(said, ByEvent) else kind.event.__name__
            return lambda _: word
        case Part():
            return lambda event: int(event.get(SUB) or 0)
    return _COMPUTED[type(said)](kind, said)


def _constant_or(kind: EventType, operand: Any) -> Read:
    return value_of(kind, operand) if isinstance(operand, Value) else lambda _: operand


def _in_column(value: Any, found: ColumnType) -> Any:
    """A number as a column of the type holds it."""
    if value is None or not isinstance(found.dtype, pl.Decimal):
        return value
    return _decimal(int(EXACT.scaleb(Decimal(value), found.dtype.scale)), found.dtype.scale)


def _decimal(unscaled: int, scale: int) -> Decimal:
    return EXACT.scaleb(Decimal(unscaled), -scale)


def _arithmetic(kind: EventType, said: Arithmetic) -> Read:
    found, _ = value_type(kind, said, "")
    left, right = _constant_or(kind, said.left), _constant_or(kind, said.right)
    if said.operator == "div":
        return _quotient(kind, said, left, right)
    exact = {"add": EXACT.add, "sub": EXACT.subtract, "mul": EXACT.multiply}[said.operator]
    whole = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}[said.operator]
    is_decimal = isinstance(found.dtype, pl.Decimal)

    def computed(event: Row) -> Any:
        one, other = left(event), right(event)
        if one is None or other is None:
            return None
        return _in_column(exact(Decimal(one), Decimal(other)), found) if is_decimal else int(whole(one, other))

    return computed


def _absolute(kind: EventType, said: Absolute) -> Read:
    found, value = value_type(kind, said, "")[0], value_of(kind, said.of)
    is_decimal = isinstance(found.dtype, pl.Decimal)

    def computed(event: Row) -> Any:
        if (number := value(event)) is None:
            return None
        return _in_column(Decimal(number).copy_abs(), found) if is_decimal else abs(number)

    return computed


def _quotient(kind: EventType, said: Arithmetic, left: Read, right: Read) -> Read:
    result = number_type(value_type(kind, said, "")[0])
    one, other = operand_type(kind, said.left, ""), operand_type(kind, said.right, "")
    assert result is not None
    scale = result.scale
    shift = scale + other.scale - one.scale

    def computed(event: Row) -> Any:
        number, by = left(event), right(event)
        if number is None or by is None or not by:
            return None
        size = int(EXACT.scaleb(Decimal(number), one.scale + max(0, shift)))
        unit = int(EXACT.scaleb(Decimal(by), other.scale + max(0, -shift)))
        rounded = (2 * abs(size) + abs(unit)) // (2 * abs(unit))
        return _decimal(-rounded if (size < 0) != (unit < 0) and rounded else rounded, scale)

    return computed


def _step(kind: EventType, said: Step) -> Read:
    result, value = number_type(value_type(kind, said, "")[0]), value_of(kind, said.of)
    assert result is not None
    scale, is_whole = result.scale, result.whole
    width = int(EXACT.scaleb(Decimal(said.width), scale))

    def computed(event: Row) -> Any:
        number = value(event)
        if number is None:
            return None
        lower = int(EXACT.scaleb(Decimal(number), scale)) // width * width
        return lower if is_whole else _decimal(lower, scale)

    return computed


def _option(kind: EventType, option: Any, found: ColumnType) -> Read:
    """A value or a constant, as a column of the type of a choice holds it."""
    if not isinstance(option, Value):
        constant = None if option is None else of_type(found, option, "")
        return lambda _: constant
    value = value_of(kind, option)
    return lambda event: _in_column(value(event), found)


def _case(kind: EventType, said: Case) -> Read:
    found, _ = value_type(kind, said, "")
    branches = [(condition_of(kind, condition), _option(kind, option, found)) for condition, option in said.branches]
    otherwise = _option(kind, said.otherwise, found)
    return lambda event: next((option for holds, option in branches if holds(event)), otherwise)(event)


def _coalesce(kind: EventType, said: Coalesce) -> Read:
    found, _ = value_type(kind, said, "")
    options = [_option(kind, option, found) for option in said.options]
    return lambda event: next((value for option in options if (value := option(event)) is not None), None)


def _bucket(kind: EventType, said: Bucket) -> Read:
    found, _ = value_type(kind, said.of, "")
    value, last = value_of(kind, said.of), said.labels[-1]
    ranges = [(of_type(found, bound, ""), label) for bound, label in zip(said.bounds, said.labels, strict=False)]

    def computed(event: Row) -> Any:
        there = value(event)
        return None if there is None else next((label for bound, label in ranges if there < bound), last)

    return computed


def _between(kind: EventType, said: Between) -> Read:
    start, end = value_of(kind, said.start), value_of(kind, said.end)
    is_date, unit = value_type(kind, said.start, "")[0] == DATE, timedelta(seconds=SECONDS[said.unit])

    def computed(event: Row) -> Any:
        one, other = start(event), end(event)
        if one is None or other is None:
            return None
        if is_date:
            return (other - one).days
        passed = other - one
        return passed // unit if passed >= _NO_TIME else -(-passed // unit)

    return computed


def _of_text(kind: EventType, said: OfText) -> Read:
    value, of_text = value_of(kind, said.of), plain_texts.by_row(said)
    return lambda event: None if (text := value(event)) is None else of_text(text)


def _concat(kind: EventType, said: Concat) -> Read:
    parts = [_constant_or(kind, part) for part in said.parts]

    def computed(event: Row) -> Any:
        texts = [part(event) for part in parts]
        return None if None in texts else "".join(texts)

    return computed


_COMPUTED: dict[type[Value], Callable[[EventType, Any], Read]] = {
    Arithmetic: _arithmetic,
    Absolute: _absolute,
    Step: _step,
    Case: _case,
    Coalesce: _coalesce,
    Bucket: _bucket,
    Between: _between,
    OfText: _of_text,
    Concat: _concat,
    Payload: lambda kind, _: payloads.by_row(kind),
}


def condition_of(kind: EventType, said: Condition | None) -> Callable[[Row], bool]:
    """A condition on the events of one type; unknown counts as false."""
    match said:
        case None:
            return lambda _: True
        case Both(left, right):
            one, other = condition_of(kind, left), condition_of(kind, right)
            return lambda event: one(event) and other(event)
        case Either(left, right):
            one, other = condition_of(kind, left), condition_of(kind, right)
            return lambda event: one(event) or other(event)
        case Not(of):
            return _fails(kind, of)
        case IsNull(of):
            value = value_of(kind, of)
            return lambda event: value(event) is None
    known = _asked(kind, said)
    return lambda event: known(event) is True


def _fails(kind: EventType, said: Condition) -> Callable[[Row], bool]:
    """Whether a condition is known to be false."""
    match said:
        case Both(left, right):
            one, other = _fails(kind, left), _fails(kind, right)
            return lambda event: one(event) or other(event)
        case Either(left, right):
            one, other = _fails(kind, left), _fails(kind, right)
            return lambda event: one(event) and other(event)
        case Not(of):
            return condition_of(kind, of)
        case IsNull(of):
            value = value_of(kind, of)
            return lambda event: value(event) is not None
    known = _asked(kind, said)
    return lambda event: known(event) is False


def _asked(kind: EventType, said: Condition) -> Callable[[Row], bool | None]:
    """A comparison; None where a value is missing."""
    match said:
        case Compare(name, compared, _):
            return _against(operator.itemgetter(name), compared, constants(kind, said))
        case CompareValue(left, compared, Value() as right):
            one, other, compare = value_of(kind, left), value_of(kind, right), getattr(operator, compared)
            return lambda event: (
                None if (a := one(event)) is None or (b := other(event)) is None else bool(compare(a, b))
            )
        case CompareValue(left, compared):
            _, values = compared_values(kind, said)
            return _against(value_of(kind, left), compared, values)
        case StartsWith(of, prefix):
            value = value_of(kind, of)
            return lambda event: None if (text := value(event)) is None else text.startswith(prefix)
    raise TypeError(said)


def _against(value: Read, compared: str, values: tuple[Any, ...]) -> Callable[[Row], bool | None]:
    if compared == "in":
        return lambda event: None if (found := value(event)) is None else found in values
    compare, (constant,) = getattr(operator, compared), values
    return lambda event: None if (found := value(event)) is None else bool(compare(found, constant))
