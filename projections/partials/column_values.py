"""Expressions and conditions over the events of one type, as Polars expressions. `row_values` is the same function of one event."""

from collections.abc import Callable
from decimal import ROUND_FLOOR, Context, Decimal
from functools import reduce
from operator import or_
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
from refold.projections.declaring.field_types import EventType, FieldType, field_type
from refold.projections.declaring.number_types import NumberType, number_type
from refold.projections.declaring.payload import Payload
from refold.projections.declaring.sql_types import DATE, TEXT, ColumnType
from refold.projections.declaring.value_types import compared_type, compared_values, operand_type, value_type
from refold.projections.partials import calendar, exact_columns, payloads
from refold.projections.partials.places import PLACE, PLACES
from refold.projections.partials.plain_texts import BLANKS
from refold.schemas.columns import envelope as m

_EXACT = Context(prec=100)


def value_of(kind: EventType, value: Expression) -> pl.Expr:
    """An expression over the events of one type."""
    match value:
        case Field(name):
            return pl.col(name)
        case Carried():
            return pl.col(value.column)
        case Day(of) | Calendar(of):
            return calendar.by_columns(value, value_of(kind, of), value_type(kind, of, "")[0].dtype)
        case ByEvent() | TypeName():
            return pl.when(pl.col(m.OCCURRED_AT).is_not_null()).then(word_of(kind, value))
        case Part():
            return (pl.col(PLACE) % PLACES).cast(pl.Int32)
    return _COMPUTED[type(value)](kind, value)


def word_of(kind: EventType, value: ByEvent | TypeName) -> pl.Expr:
    """The word of a type of events as a literal. In a sum or a count it stands for one event; `value_of` has it for each."""
    return pl.lit(dict(value.words)[kind.event] if isinstance(value, ByEvent) else kind.event.__name__, pl.String)


def _arithmetic(kind: EventType, value: Arithmetic) -> pl.Expr:
    result = number_type(value_type(kind, value, "")[0])
    assert result is not None
    if value.operator == "div":
        one, other = operand_type(kind, value.left, ""), operand_type(kind, value.right, "")
        shift = result.scale + other.scale - one.scale
        return exact_columns.quotient(
            _unscaled(kind, value.left, one, one.scale + max(0, shift)),
            _unscaled(kind, value.right, other, other.scale + max(0, -shift)),
            result,
        )
    dtype = result.column.dtype  # both have the result's places: Polars rounds a product to those of its wider factor
    left, right = _operand(kind, value.left, dtype), _operand(kind, value.right, dtype)
    match value.operator:
        case "add":
            return (left + right).cast(dtype)
        case "sub":
            return (left - right).cast(dtype)
    return (left * right).cast(dtype)


def _absolute(kind: EventType, value: Absolute) -> pl.Expr:
    return value_of(kind, value.of).cast(value_type(kind, value, "")[0].dtype).abs()


def _operand(kind: EventType, operand: Any, dtype: pl.DataType) -> pl.Expr:
    if isinstance(operand, Value):
        return value_of(kind, operand).cast(dtype)
    return pl.lit(_at_places(operand, dtype) if isinstance(dtype, pl.Decimal) else int(operand), dtype)


def _at_places(number: int | Decimal, dtype: pl.Decimal) -> Decimal:
    return _EXACT.quantize(Decimal(number), Decimal(1).scaleb(-dtype.scale))


def _unscaled(kind: EventType, operand: Any, of: NumberType, scale: int) -> pl.Expr:
    if isinstance(operand, Value):
        return exact_columns.unscaled(value_of(kind, operand), of, scale)
    return exact_columns.number(int(Decimal(operand).scaleb(scale, _EXACT)))


def _step(kind: EventType, value: Step) -> pl.Expr:
    result, of = number_type(value_type(kind, value, "")[0]), operand_type(kind, value.of, "")
    assert result is not None
    width = int(Decimal(value.width).scaleb(result.scale, _EXACT))
    return exact_columns.floored(_unscaled(kind, value.of, of, result.scale), width, result)


def _option(kind: EventType, option: Any, found: ColumnType) -> pl.Expr:
    """A value or a constant, as a column of the type of a choice."""
    if isinstance(option, Value):
        return value_of(kind, option).cast(found.dtype)
    return pl.lit(None if option is None else of_type(found, option, ""), dtype=found.dtype)


def _case(kind: EventType, value: Case) -> pl.Expr:
    found, _ = value_type(kind, value, "")
    chosen = _option(kind, value.otherwise, found)
    for condition, option in reversed(value.branches):
        chosen = pl.when(condition_of(kind, condition)).then(_option(kind, option, found)).otherwise(chosen)
    return chosen


def _coalesce(kind: EventType, value: Coalesce) -> pl.Expr:
    found, _ = value_type(kind, value, "")
    return pl.coalesce([_option(kind, option, found) for option in value.options])


def _bucket(kind: EventType, value: Bucket) -> pl.Expr:
    found, _ = value_type(kind, value.of, "")
    of = value_of(kind, value.of)
    chosen = pl.lit(value.labels[-1], pl.String)
    for bound, label in reversed(list(zip(value.bounds, value.labels, strict=False))):
        below = of < pl.lit(of_type(found, bound, ""), found.dtype)
        chosen = pl.when(below).then(pl.lit(label, pl.String)).otherwise(chosen)
    return pl.when(of.is_not_null()).then(chosen)


def _between(kind: EventType, value: Between) -> pl.Expr:
    passed = value_of(kind, value.end) - value_of(kind, value.start)
    if value_type(kind, value.start, "")[0] == DATE:
        return passed.dt.total_days()
    micros, unit = passed.dt.total_microseconds(), SECONDS[value.unit] * 1_000_000
    return pl.when(micros >= 0).then(micros // unit).otherwise(-(-micros // unit))


def _of_text(kind: EventType, value: OfText) -> pl.Expr:
    text = value_of(kind, value.of).cast(pl.String)
    match value.function:
        case "lower":
            return text.str.to_lowercase()
        case "upper":
            return text.str.to_uppercase()
        case "trim":
            return text.str.strip_chars(BLANKS)
        case "left":
            return text.str.slice(0, value.count)
        case "length":
            return text.str.len_chars().cast(pl.Int32)


def _concat(kind: EventType, value: Concat) -> pl.Expr:
    return pl.concat_str(
        [
            value_of(kind, part).cast(pl.String) if isinstance(part, Value) else pl.lit(part, pl.String)
            for part in value.parts
        ]
    )


_COMPUTED: dict[type[Value], Callable[[EventType, Any], pl.Expr]] = {
    Arithmetic: _arithmetic,
    Absolute: _absolute,
    Step: _step,
    Case: _case,
    Coalesce: _coalesce,
    Bucket: _bucket,
    Between: _between,
    OfText: _of_text,
    Concat: _concat,
    Payload: lambda kind, _: payloads.by_columns(kind),
}


def condition_of(kind: EventType, condition: Condition) -> pl.Expr:
    """A condition on the events of one type as a column without nulls: unknown counts as false."""
    match condition:
        case Both(left, right):
            return condition_of(kind, left) & condition_of(kind, right)
        case Either(left, right):
            return condition_of(kind, left) | condition_of(kind, right)
        case Not(of):
            return _fails(kind, of)
        case IsNull(value):
            return value_of(kind, value).is_null()
    return _asked(kind, condition).fill_null(value=False)


def _fails(kind: EventType, condition: Condition) -> pl.Expr:
    """Whether a condition is known to be false, as a column without nulls."""
    match condition:
        case Both(left, right):
            return _fails(kind, left) | _fails(kind, right)
        case Either(left, right):
            return _fails(kind, left) & _fails(kind, right)
        case Not(of):
            return condition_of(kind, of)
        case IsNull(value):
            return value_of(kind, value).is_not_null()
    return (~_asked(kind, condition)).fill_null(value=False)


def _asked(kind: EventType, condition: Condition) -> pl.Expr:
    """A comparison; null where a value is missing."""
    match condition:
        case Compare(name, operator, _):
            field = field_type(kind, name)
            return _any_of(field, pl.col(name), operator, constants(kind, condition))
        case CompareValue(left, operator, Value() as right):
            dtype = compared_type(kind, condition, "").dtype
            one, other = (value_of(kind, value).cast(dtype) for value in (left, right))
            compared: pl.Expr = getattr(one, operator)(other)
            return compared
        case CompareValue(left, operator):
            field, values = compared_values(kind, condition)
            return _any_of(field, value_of(kind, left), operator, values)
        case StartsWith(value, prefix):
            return value_of(kind, value).cast(TEXT.dtype).str.starts_with(prefix)
    raise TypeError(condition)


def _any_of(field: FieldType, column: pl.Expr, operator: str, values: tuple[Any, ...]) -> pl.Expr:
    return reduce(or_, [_compared(field, column, "eq" if operator == "in" else operator, value) for value in values])


def _compared(field: FieldType, column: pl.Expr, operator: str, value: Any) -> pl.Expr:
    """Compare two values of one Polars type. A decimal of more places than the field lies between two of its values."""
    dtype = pl.Decimal(field.digits, field.scale) if field.digits else field.column.dtype
    if field.digits:
        below = value.quantize(Decimal(1).scaleb(-field.scale), ROUND_FLOOR, _EXACT)
        if below != value:
            operator = {"gt": "gt", "ge": "gt", "lt": "le", "le": "le"}.get(operator, operator)
            if operator in {"eq", "ne"}:
                return column.ne(column) if operator == "eq" else column.eq(column)
        value = below
    found: pl.Expr = getattr(column, operator)(pl.lit(value, dtype))
    return found
