"""Conditions on an event, and what every value of an event can be compared with and computed to. All of it is data.

A constant has the type of what it is compared with (`constants`). Comparisons are SQL's: none holds for a missing (null)
value, not even `ne`; `not_` of such a comparison does not hold either.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Literal

from refold.projections.errors import BadDeclaration

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
class Value:
    """What one event gives: a field, or something computed from fields."""

    def eq(self, value: "Constant | Value") -> Condition:
        return self._compared("eq", value)

    def ne(self, value: "Constant | Value") -> Condition:
        return self._compared("ne", value)

    def gt(self, value: "Constant | Value") -> Condition:
        return self._compared("gt", value)

    def ge(self, value: "Constant | Value") -> Condition:
        return self._compared("ge", value)

    def lt(self, value: "Constant | Value") -> Condition:
        return self._compared("lt", value)

    def le(self, value: "Constant | Value") -> Condition:
        return self._compared("le", value)

    def is_in(self, *values: Constant) -> Condition:
        return self._compared("in", values)

    def is_null(self) -> Condition:
        return IsNull(self)

    def is_not_null(self) -> Condition:
        return Not(IsNull(self))

    def starts_with(self, prefix: str) -> Condition:
        return StartsWith(self, prefix)

    def _compared(self, operator: Operator, value: "Constant | Value | tuple[Constant, ...]") -> Condition:
        return CompareValue(self, operator, value)

    def __add__(self, other: "Number") -> "Value":
        return Arithmetic("add", self, other)

    def __radd__(self, other: "Number") -> "Value":
        return Arithmetic("add", other, self)

    def __sub__(self, other: "Number") -> "Value":
        return Arithmetic("sub", self, other)

    def __rsub__(self, other: "Number") -> "Value":
        return Arithmetic("sub", other, self)

    def __mul__(self, other: "Number") -> "Value":
        return Arithmetic("mul", self, other)

    def __rmul__(self, other: "Number") -> "Value":
        return Arithmetic("mul", other, self)

    def __neg__(self) -> "Value":
        return Arithmetic("sub", 0, self)

    def __abs__(self) -> "Value":
        return Absolute(self)

    def __truediv__(self, other: object) -> "Value":
        """Raise BadDeclaration: a quotient needs a number of places."""
        raise BadDeclaration("write divide(a, b, scale) for a / b: a quotient is rounded to so many places")


Number = int | Decimal | Value


@dataclass(frozen=True)
class Compare(Condition):
    """A field compared with a constant, or with several (`in`)."""

    field: str
    operator: Operator
    value: Constant | tuple[Constant, ...]


@dataclass(frozen=True)
class CompareValue(Condition):
    """Any value compared with a constant, with several (`in`), or with another value."""

    left: Value
    operator: Operator
    right: Constant | Value | tuple[Constant, ...]


@dataclass(frozen=True)
class IsNull(Condition):
    """A value that is missing."""

    of: Value


@dataclass(frozen=True)
class StartsWith(Condition):
    """A text that begins with another one."""

    of: Value
    prefix: str


@dataclass(frozen=True)
class Not(Condition):
    """A condition that is known to be false."""

    of: Condition


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
class Arithmetic(Value):
    """A sum, difference, product or rounded quotient (`scale`: its places) of two numbers; null if one of them is."""

    operator: Literal["add", "sub", "mul", "div"]
    left: Number
    right: Number
    scale: int | None = None


@dataclass(frozen=True)
class Absolute(Value):
    """A number without its sign."""

    of: Value


def not_(condition: Condition) -> Condition:
    """The contrary of a condition. As in SQL it does not hold where the condition asks for a missing field."""
    return Not(condition)
