"""Exact quotients and steps of columns, by whole numbers of 128 bits: Polars' own division of decimals rounds otherwise than SQL."""

from decimal import Decimal

import polars as pl

from refold.projections.declaring.number_types import NumberType

_WHOLE = pl.Int128()


def number(value: int) -> pl.Expr:
    """A constant of 128 bits."""
    return pl.lit(value, dtype=_WHOLE)


def unscaled(value: pl.Expr, of: NumberType, scale: int) -> pl.Expr:
    """Numbers times 10 to the power of `scale`, which is no less than their own places."""
    plain = value.cast(_WHOLE) if of.whole else value.to_physical()
    return plain * number(10 ** (scale - of.scale)) if scale > of.scale else plain


def quotient(one: pl.Expr, other: pl.Expr, result: NumberType) -> pl.Expr:
    """Whole numbers divided, as decimals whose last place is 1 of the quotient, rounded half away from zero; null for a divisor of 0."""
    size, by = one.abs(), other.abs()
    rounded = (size * number(2) + by) // (by * number(2))
    below = (one < number(0)) != (other < number(0))
    return _signed(_decimal(rounded, result), below, result)


def floored(one: pl.Expr, width: int, result: NumberType) -> pl.Expr:
    """The multiples of a width that lie at or below whole numbers, in the form of the result."""
    lower = one // number(width) * number(width)
    if result.whole:
        return lower.cast(pl.Int64)
    return _signed(_decimal(lower.abs(), result), lower < number(0), result)


def _decimal(size: pl.Expr, result: NumberType) -> pl.Expr:
    """Whole numbers of 0 and more, divided by 10 to the power of the result's places."""
    dtype, unit = result.column.dtype, number(10**result.scale)
    whole = (size // unit).cast(pl.Decimal(38, 0)).cast(dtype)
    if not result.scale:
        return whole
    rest = (size % unit).cast(pl.Decimal(38, 0)).cast(dtype)
    # Polars rounds a product to the places of its wider factor: with the result's places in both nothing is lost.
    return whole + rest * pl.lit(Decimal(1).scaleb(-result.scale), dtype)


def _signed(size: pl.Expr, below: pl.Expr, result: NumberType) -> pl.Expr:
    return pl.when(below).then(pl.lit(Decimal(0), result.column.dtype) - size).otherwise(size)
