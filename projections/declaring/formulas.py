"""Columns computed from other columns of the same row: ratios, differences, shares, and any arithmetic. All of it is data.

A formula is computed exactly and rounded once, half away from zero. It is null if a column in it is, if a divisor is 0,
and if the result has more digits than the column.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Union

from refold.projections.declaring.expressions import SECONDS, Length
from refold.projections.declaring.number_types import number_type
from refold.projections.declaring.sql_types import DATE, DIGITS, TIME, ColumnType
from refold.projections.errors import BadDeclaration

Operand = Union["Term", str, int, Decimal]
Operator = Literal["+", "-", "*", "/"]
DEEPEST = 20
"""Deepest nesting of operations: the SQL of a quotient repeats that of its operands."""


@dataclass(frozen=True)
class Term:
    """A number of a row: a column, a constant, or an operation."""

    def __add__(self, other: Operand) -> "Operation":
        return Operation("+", self, _term(other))

    def __radd__(self, other: Operand) -> "Operation":
        return Operation("+", _term(other), self)

    def __sub__(self, other: Operand) -> "Operation":
        return Operation("-", self, _term(other))

    def __rsub__(self, other: Operand) -> "Operation":
        return Operation("-", _term(other), self)

    def __mul__(self, other: Operand) -> "Operation":
        return Operation("*", self, _term(other))

    def __rmul__(self, other: Operand) -> "Operation":
        return Operation("*", _term(other), self)

    def __truediv__(self, other: Operand) -> "Operation":
        return Operation("/", self, _term(other))

    def __rtruediv__(self, other: Operand) -> "Operation":
        return Operation("/", _term(other), self)


@dataclass(frozen=True)
class OfColumn(Term):
    """The value of a column."""

    name: str


@dataclass(frozen=True)
class Constant(Term):
    """An exact number."""

    value: int | Decimal


@dataclass(frozen=True)
class Elapsed(Term):
    """The units from one column of times or dates to another; negative if that one is earlier. `of_dates`: whether both are dates."""

    start: str
    end: str
    unit: Length
    of_dates: bool = False


@dataclass(frozen=True)
class Operation(Term):
    """Two numbers added, subtracted, multiplied or divided."""

    operator: Operator
    left: Term
    right: Term


@dataclass(frozen=True)
class Formula:
    """A number of a row, rounded to `scale` places. `root`: the square root of the term."""

    term: Term
    scale: int
    root: bool = False


@dataclass(frozen=True)
class Comparison:
    """Whether a whole number of a row is more than 0 (`equals` is None), or equals another one."""

    column: str
    equals: str | None = None


@dataclass(frozen=True)
class ShownColumn:
    """A column that is computed from other columns of its row."""

    formula: Formula
    doc: str


def column(name: str) -> Term:
    """A column of the row, to compute with: `+ - * /`."""
    return OfColumn(name)


def computed(term: Term, scale: int, doc: str) -> ShownColumn:
    """What arithmetic between columns gives, rounded to `scale` places; null if a column is null or a divisor is 0."""
    return ShownColumn(Formula(_term(term), scale), doc)


def ratio(of: Operand, to: Operand, scale: int, doc: str) -> ShownColumn:
    """One column divided by another; null where that one is 0."""
    return computed(_term(of) / _term(to), scale, doc)


def difference(of: Operand, less: Operand, scale: int, doc: str) -> ShownColumn:
    """One column less another."""
    return computed(_term(of) - _term(less), scale, doc)


def duration(start: str, end: str, unit: Length, doc: str, scale: int = 0) -> ShownColumn:
    """The seconds, minutes, hours or days from one column of times to another, or days between dates; null while one is missing."""
    if unit not in SECONDS:
        raise BadDeclaration(f"duration() counts {', '.join(SECONDS)}, not {unit!r:.100}")
    return computed(Elapsed(start, end, unit), scale, doc)


def share(of: str, among: tuple[str, ...], scale: int, doc: str) -> ShownColumn:
    """A column's share of the sum of several ones, from 0 to 1; null where they sum up to 0."""
    if not isinstance(among, tuple) or not among:
        raise BadDeclaration(f"share({of!r}) takes a tuple of the columns whose sum is the whole, not {among!r:.100}")
    whole = _term(among[0])
    for other in among[1:]:
        whole = whole + other
    return computed(_term(of) / whole, scale, doc)


def columns_in(term: Term, where: str = "", depth: int = 0) -> Iterator[str]:
    """The names of the columns in a term. Raises BadDeclaration if it is nested too deep."""
    if depth > DEEPEST:
        raise BadDeclaration(f"{where}: operations are nested more than {DEEPEST} deep")
    match term:
        case OfColumn(name):
            yield name
        case Elapsed(start, end):
            yield from (start, end)
        case Operation(_, left, right):
            yield from columns_in(left, where, depth + 1)
            yield from columns_in(right, where, depth + 1)


def typed(term: Term, types: Mapping[str, ColumnType], where: str) -> Term:
    """The term, which knows whether its times are dates. Raises BadDeclaration for a column that cannot be computed with."""
    match term:
        case Operation(operator, left, right):
            return Operation(operator, typed(left, types, where), typed(right, types, where))
        case Elapsed(start, end, unit):
            found = {types.get(start), types.get(end)}
            if found not in ({TIME}, {DATE}) or (found == {DATE} and unit != "days"):
                times = [name for name, kind in types.items() if kind in (TIME, DATE)]
                raise BadDeclaration(
                    f"{where}: duration() takes two columns of times, or two of dates and days; it has {', '.join(times) or 'none'}"
                )
            return Elapsed(start, end, unit, of_dates=found == {DATE})
        case OfColumn(name):
            numbers = [one for one, kind in types.items() if number_type(kind) is not None]
            if name not in numbers:
                raise BadDeclaration(
                    f"{where}: {name} is no column of numbers of it; it has {', '.join(numbers) or 'none'}."
                    " Of an average take its sum and its count"
                )
    return term


def check_scale(where: str, scale: object) -> None:
    """Raise BadDeclaration for a number of places that no column has."""
    if not isinstance(scale, int) or isinstance(scale, bool) or not 0 <= scale <= DIGITS:
        raise BadDeclaration(f"{where}: scale is a number of places, 0 to {DIGITS}, not {scale!r:.100}")


def _term(operand: Operand) -> Term:
    match operand:
        case Term():
            return operand
        case str():
            return OfColumn(operand)
        case bool():
            pass
        case int():
            return Constant(operand)
        case Decimal() if operand.is_finite():
            return Constant(operand)
    raise BadDeclaration(f"{operand!r:.100} is no column's name, no whole number and no Decimal to compute with")
