"""Expressions and conditions over the events of one type, as Polars expressions. `row_values` is the same function of one event."""

from decimal import ROUND_FLOOR, Context, Decimal
from functools import reduce
from operator import or_
from typing import Any

import polars as pl

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
from refold.projections.declaring.field_types import EventType, FieldType, field_type
from refold.projections.partials import calendar

_EXACT = Context(prec=100)


def value_of(kind: EventType, value: Expression) -> pl.Expr:
    """An expression over the events of one type."""
    match value:
        case Field(name):
            return pl.col(name)
        case Day(of) | Calendar(of):
            return calendar.by_columns(value, field_type(kind, of.name).column.dtype)
        case ByEvent(words):
            return pl.lit(dict(words)[kind.event], dtype=pl.String)


def condition_of(kind: EventType, condition: Condition) -> pl.Expr:
    """A condition on the events of one type as a column without nulls: unknown counts as false."""
    match condition:
        case Both(left, right):
            return condition_of(kind, left) & condition_of(kind, right)
        case Either(left, right):
            return condition_of(kind, left) | condition_of(kind, right)
        case Compare(name, operator):
            field = field_type(kind, name)
            compared = [
                _compared(field, pl.col(name), "eq" if operator == "in" else operator, value)
                for value in constants(kind, condition)
            ]
            return reduce(or_, compared).fill_null(value=False)
        case _:
            raise TypeError(condition)


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
