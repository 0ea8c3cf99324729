"""Exact decimals, whatever a thread's context says: Python rounds each sum, each product and each `-x` to the context's 28 digits.

Our own operations go through `EXACT`, which raises where a digit would be lost. Authors' code runs in `AUTHORS`: sums and
products of numbers as a contract can hold them are exact there, and only what has no end (a division) is rounded.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DecimalException,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

EXACT = Context(prec=200, traps=[Inexact, InvalidOperation])
"""Never rounds: raises a DecimalException instead."""
AUTHORS = Context(prec=160, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
"""Python's own context with room for a product of four numbers of 38 digits."""


def authors_arithmetic() -> AbstractContextManager[Context]:
    """What authors' functions run in, and tests of theirs that call them by themselves; what it changes ends with the block."""
    return localcontext(AUTHORS)


def in_authors_arithmetic(function: Callable[P, T]) -> Callable[P, T]:
    """The function, run in `authors_arithmetic` by whoever calls it."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with localcontext(AUTHORS):
            return function(*args, **kwargs)

    return run


def at_scale(value: Decimal, scale: int) -> Decimal | None:
    """The same number with so many places, a zero without a sign; None where it has more of them, or is no number."""
    if not value.is_finite():
        return None
    try:
        fixed = EXACT.quantize(value, EXACT.scaleb(Decimal(1), -scale))
    except DecimalException:
        return None
    return fixed or fixed.copy_abs()
