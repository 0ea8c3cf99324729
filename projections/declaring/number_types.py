"""The types of computed numbers: as many digits as the result of exact arithmetic can have, and a refusal of more than fit a column."""

from dataclasses import dataclass, replace
from decimal import Decimal

import polars as pl

from refold.projections.declaring.conditions import Arithmetic
from refold.projections.declaring.sql_types import BIGINT, DIGITS, INTEGER, LONG_DIGITS, ColumnType, decimal
from refold.projections.errors import BadDeclaration

_INTEGER_DIGITS, _BIGINT_DIGITS = 10, 18
"""Most digits of a 32-bit number, and the most that every 64-bit number has room for."""
MOST_PLACES = 18
"""Most places of a number that is not only added and multiplied: a number of that many digits is shifted by as many."""
_ROOM = 37
"""Most digits of what is divided: its double must fit 128 bits."""


@dataclass(frozen=True)
class NumberType:
    """How many digits a number has at most, how many of them behind the point, and whether it is held as a whole number."""

    digits: int
    scale: int = 0
    whole: bool = False

    @property
    def before(self) -> int:
        """Digits before the point."""
        return self.digits - self.scale

    @property
    def column(self) -> ColumnType:
        """The column type that holds it."""
        return replace(BIGINT, digits=self.digits) if self.whole else decimal(self.scale, self.digits)


def number_type(found: ColumnType) -> NumberType | None:
    """The digits of a column type; None if it is no number."""
    if found == INTEGER:
        return NumberType(_INTEGER_DIGITS, whole=True)
    if found == BIGINT:
        return NumberType(found.digits or LONG_DIGITS, whole=True)
    if isinstance(found.dtype, pl.Decimal):
        return NumberType(found.digits or DIGITS, found.dtype.scale)
    return None


def constant_type(value: int | Decimal, where: str) -> NumberType:
    """The digits of a constant. Raises BadDeclaration."""
    exact = Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None
    if exact is None or not exact.is_finite():
        raise BadDeclaration(f"{where}: {value!r:.100} is no whole number and no Decimal")
    _, digits, exponent = exact.as_tuple()
    assert isinstance(exponent, int)
    scale = max(0, -exponent)
    found = NumberType(max(len(digits) + max(0, exponent), scale), scale)
    if found.digits > DIGITS:
        raise BadDeclaration(f"{where}: {value!r:.100} has more than {DIGITS} digits")
    return replace(found, whole=not scale and found.digits <= _BIGINT_DIGITS)


def result_type(said: Arithmetic, one: NumberType, other: NumberType, where: str) -> NumberType:
    """The digits that a result can have. Raises BadDeclaration if they are more than a column has, or than can be divided."""
    match said.operator:
        case "add" | "sub":
            scale = max(one.scale, other.scale)
            before = max(one.before, other.before) + 1
        case "mul":
            scale, before = one.scale + other.scale, one.before + other.before
        case "div":
            scale, before = _places(said, where), one.before + other.scale + 1
            refuse(one.digits + max(0, scale + other.scale - one.scale), where, _ROOM)
            refuse(other.digits + max(0, one.scale - scale - other.scale), where, _ROOM)
    refuse(scale + before, where)
    whole = one.whole and other.whole and said.operator != "div" and before <= _BIGINT_DIGITS
    return NumberType(scale + before, scale, whole)


def absolute_type(of: NumberType) -> NumberType:
    """The digits of a number without its sign. The least 32-bit number has none of 32 bits."""
    return replace(of, whole=of.whole and of.digits <= _BIGINT_DIGITS)


def _places(said: Arithmetic, where: str) -> int:
    if not isinstance(said.scale, int) or isinstance(said.scale, bool) or not 0 <= said.scale <= MOST_PLACES:
        raise BadDeclaration(f"{where}: divide() rounds to 0 to {MOST_PLACES} places, not {said.scale!r:.100}")
    return said.scale


def refuse(digits: int, where: str, most: int = DIGITS) -> None:
    """Raise BadDeclaration for more digits than are computed exactly."""
    if digits > most:
        raise BadDeclaration(
            f"{where}: a result may have {digits} digits, and {most} are the most that are computed exactly:"
            " bound the fields, or use fewer places"
        )


def refuse_places(number: NumberType, where: str) -> None:
    """Raise BadDeclaration for a number with more places than a step can be found in."""
    if number.scale > MOST_PLACES:
        raise BadDeclaration(f"{where}: step() takes numbers of up to {MOST_PLACES} places, not {number.scale}")
