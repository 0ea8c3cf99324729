"""Exact decimal arithmetic in any thread: by default Python rounds each sum, product and `-x` to 28 digits.

Our own operations go through `EXACT`, which raises if a digit would be lost. Authors' code runs in `AUTHORS`: sums and
products of numbers that a contract can hold are exact there, and only endless results (of a division) are rounded.
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
"""Context that never rounds: it raises a DecimalException instead."""
AUTHORS = Context(prec=160, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
"""Python's own context, with room for a product of four numbers of 38 digits."""


def authors_arithmetic() -> AbstractContextManager[Context]:
    """The context in which authors' functions run, also for tests that call them directly. It ends with the block."""
    return localcontext(AUTHORS)


def in_authors_arithmetic(function: Callable[P, T]) -> Callable[P, T]:
    """Wraps a function so that it always runs in `authors_arithmetic`."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with localcontext(AUTHORS):
            return function(*args, **kwargs)

    return run


def at_scale(value: Decimal, scale: int) -> Decimal | None:
    """The number with `scale` decimal places, zero without a sign. None if it needs more places or is not finite."""
    if not value.is_finite():
        return None
    try:
        fixed = EXACT.quantize(value, EXACT.scaleb(Decimal(1), -scale))
    except DecimalException:
        return None
    return fixed or fixed.copy_abs()
