"""A column that Postgres computes from others of its row: its SQL for the table, and the same function in Python.

Invariant: both are exact and round once, half away from zero, so a row of a test, of an explanation and of a table are equal
to the byte.
"""

import math
import operator as op
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from psycopg import sql

from refold.projections.declaring.expressions import SECONDS
from refold.projections.declaring.formulas import (
    Comparison,
    Constant,
    Elapsed,
    Formula,
    OfColumn,
    Operation,
    Term,
)
from refold.projections.declaring.sql_types import DIGITS, ColumnType
from refold.schemas.arithmetic import EXACT

_OPERATORS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": op.add,
    "-": op.sub,
    "*": op.mul,
    "/": op.truediv,
}
_MICROSECOND = timedelta(microseconds=1)
_GUARD = "0." + "0" * 45
"""Added to a number under a root: the root then has 45 places, and none of 80 digits is rounded up to a whole number."""


@dataclass(frozen=True)
class Derived:
    """A shown column that no event changes by itself. `parts`: the hidden columns that it alone is computed from."""

    name: str
    type: ColumnType
    doc: str
    formula: Formula | Comparison
    parts: tuple[str, ...] = ()

    @property
    def required(self) -> bool:
        """Whether it is never null."""
        return isinstance(self.formula, Comparison)


def value_in(derived: Derived, row: Mapping[str, Any]) -> Any:
    """The column's value in a row of stored columns."""
    formula = derived.formula
    if isinstance(formula, Comparison):
        held = row[formula.column]
        return held > 0 if formula.equals is None else held == row[formula.equals]
    exact = _exact(formula.term, row)
    if exact is None:
        return None
    unscaled = _root(exact, formula.scale) if formula.root else _rounded(exact * 10**formula.scale)
    return None if abs(unscaled) >= 10**DIGITS else EXACT.scaleb(Decimal(unscaled), -formula.scale)


def _exact(term: Term, row: Mapping[str, Any]) -> Fraction | None:
    match term:
        case OfColumn(name):
            return None if row[name] is None else Fraction(row[name])
        case Constant(value):
            return Fraction(value)
        case Elapsed(start, end, unit, of_dates):
            if row[start] is None or row[end] is None:
                return None
            passed: timedelta = row[end] - row[start]
            return Fraction(passed.days) if of_dates else Fraction(passed // _MICROSECOND, 10**6 * SECONDS[unit])
        case Operation(operator, one, other):
            left, right = _exact(one, row), _exact(other, row)
            if left is None or right is None or (operator == "/" and not right):
                return None
            return _OPERATORS[operator](left, right)
    raise TypeError(term)


def _rounded(exact: Fraction) -> int:
    size = (2 * abs(exact.numerator) + exact.denominator) // (2 * exact.denominator)
    return -size if exact < 0 else size


def _root(exact: Fraction, scale: int) -> int:
    twice = math.isqrt(4 * exact.numerator * 10 ** (2 * scale) // exact.denominator)
    return (twice + 1) // 2


@dataclass(frozen=True)
class _Quotient:
    """An exact number in SQL: whole numbers over whole numbers, and all divisors that must not be 0."""

    over: sql.Composable
    under: sql.Composable | None
    divisors: tuple[sql.Composable, ...] = ()


def expression(derived: Derived) -> sql.Composable:
    """The column's SQL over the other columns of its table."""
    formula = derived.formula
    if isinstance(formula, Comparison):
        held = sql.Identifier(formula.column)
        if formula.equals is None:
            return sql.SQL("{} > 0").format(held)
        return sql.SQL("{} = {}").format(held, sql.Identifier(formula.equals))
    found = _quotient(formula.term)
    under = sql.SQL("1::numeric") if found.under is None else found.under
    # Without the cast sign(1) would be a double, and the product with it would lose digits.
    names = {"over": found.over, "under": under, "shift": sql.SQL(f"1{'0' * formula.scale}")}
    places = sql.SQL(f"0.{'0' * (formula.scale - 1)}1" if formula.scale else "1")
    if formula.root:
        squares = sql.SQL("div(4 * {over} * {shift} * {shift}, {under})").format(**names)
        rounded = sql.SQL("div(trunc(sqrt({} + {})) + 1, 2) * {}").format(squares, sql.SQL(_GUARD), places)
        return _where(found.divisors, [], rounded)
    fits = sql.SQL("2 * abs({over}) * {shift} + abs({under}) < 2 * abs({under}) * {limit}").format(
        **names, limit=sql.SQL(f"1{'0' * DIGITS}")
    )
    size = sql.SQL("div(2 * abs({over}) * {shift} + abs({under}), 2 * abs({under}))").format(**names)
    signed = sql.SQL("sign({over}) * sign({under}) * {size} * {places}").format(**names, size=size, places=places)
    return _where(found.divisors, [fits], signed)


def _where(divisors: tuple[sql.Composable, ...], fits: list[sql.Composable], value: sql.Composable) -> sql.Composable:
    """The value where no divisor is 0 and the value fits the column. The divisors are asked for first, on their own."""
    for conditions in (fits, [sql.SQL("{} <> 0").format(one) for one in divisors]):
        if conditions:
            value = sql.SQL("CASE WHEN {} THEN {} END").format(sql.SQL(" AND ").join(conditions), value)
    return value


def _quotient(term: Term) -> _Quotient:
    match term:
        case OfColumn(name):
            return _Quotient(sql.SQL("{}::numeric").format(sql.Identifier(name)), None)
        case Constant(value):
            return _Quotient(sql.SQL(f"({Decimal(value):f})::numeric"), None)
        case Elapsed():
            return _elapsed(term)
        case Operation(operator, one, other):
            left, right = _quotient(one), _quotient(other)
            divisors = left.divisors + right.divisors
            match operator:
                case "*":
                    return _Quotient(_times(left.over, right.over), _both(left.under, right.under), divisors)
                case "/":
                    over = left.over if right.under is None else _times(left.over, right.under)
                    return _Quotient(over, _both(left.under, right.over), (*divisors, right.over))
                case _:
                    first = left.over if right.under is None else _times(left.over, right.under)
                    second = right.over if left.under is None else _times(right.over, left.under)
                    both = sql.SQL(f"({{}} {operator} {{}})").format(first, second)
                    return _Quotient(both, _both(left.under, right.under), divisors)
    raise TypeError(term)


def _elapsed(term: Elapsed) -> _Quotient:
    passed = sql.SQL("({} - {})").format(sql.Identifier(term.end), sql.Identifier(term.start))
    if term.of_dates:
        return _Quotient(sql.SQL("{}::numeric").format(passed), None)
    return _Quotient(sql.SQL("extract(epoch FROM {})").format(passed), sql.SQL(f"{SECONDS[term.unit]}::numeric"))


def _times(one: sql.Composable, other: sql.Composable) -> sql.Composable:
    return sql.SQL("({} * {})").format(one, other)


def _both(one: sql.Composable | None, other: sql.Composable | None) -> sql.Composable | None:
    if one is None or other is None:
        return one or other
    return _times(one, other)
