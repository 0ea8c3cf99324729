"""Sums that may have more than 38 digits: exact while they are added, refused if a table's column cannot hold one.

Polars wraps such a sum silently. So a partial by columns holds it as two limbs of 128 bits, high and low, each with
room for any number of events; a partial by rows holds a Python number. A partial may be wider than its column: only the
total must fit. Such a partial is written as two halves, and no total between them is wider than both ends.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from refold.projections.declaring.sql_types import DIGITS
from refold.projections.errors import SumOverflow
from refold.projections.tables.layout import DELETED, VERSION, Layout, Merge, Stored
from refold.schemas.arithmetic import EXACT

LIMB = pl.Int128()
BASE, LIMIT = 10**19, 10**DIGITS
"""The low limb's base, and the least number that no column holds."""
Values = Sequence[Any] | pl.Series
Partial = pl.DataFrame | Mapping[str, Values]
"""A model's partial: a column for each stored one. A wide sum by columns also has a column for its low limb."""


def low(name: str) -> str:
    """The column of a sum's low limb. The blank keeps it apart from authors' names."""
    return f"{name} low"


def limbs(value: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The high and low limbs of decimals that are not summed yet; low is never negative."""
    whole = value.to_physical()
    return whole // _int(BASE), whole % _int(BASE)


def writable(layout: Layout, partial: Partial) -> list[Mapping[str, Values]]:
    """The partial as one or two partials of the stored columns, to be added in order. Raises SumOverflow."""
    whole: dict[str, Values] = {part.name: partial[part.name] for part in layout.stored}
    rest: dict[str, dict[int, Decimal]] = {}
    for part in layout.columns:
        if part.is_wide:
            whole[part.name], rest[part.name] = _halved(layout, part, partial)
    rows = sorted({row for found in rest.values() for row in found})
    if not rows:
        return [whole]
    second = {part.name: _second(layout, part, whole[part.name], rest.get(part.name), rows) for part in layout.stored}
    return [whole, second]


def _second(
    layout: Layout, part: Stored, values: Values, rest: Mapping[int, Decimal] | None, rows: Sequence[int]
) -> Values:
    """A column of the second half: only the rest of wide sums, in rows of the same keys and versions."""
    if part in layout.keys or part.name in (VERSION, DELETED):
        return values.gather(list(rows)) if isinstance(values, pl.Series) else [values[row] for row in rows]
    if rest is not None:
        return _as(values, [rest.get(row, 0) for row in rows])
    nothing: list[Any] = [[] if part.members is not None else 0 if part.merge is Merge.ADD else None] * len(rows)
    return pl.Series(nothing, dtype=part.held) if isinstance(values, pl.Series) else nothing


def _halved(layout: Layout, part: Stored, partial: Partial) -> tuple[Values, dict[int, Decimal]]:
    """The sums as the column holds them, and by row the rest of each sum that it cannot hold."""
    scale = scale_of(part)
    sums: Values = partial[part.name]
    if isinstance(sums, pl.Series):
        both = pl.DataFrame({"high": sums, "low": partial[low(part.name)]})
        carried = both.select(pl.col("high") + pl.col("low") // _int(BASE), pl.col("low") % _int(BASE))
        if carried.select(_fits().all()).item():
            return carried.select(_text(scale)).to_series(), {}
        totals = [high * BASE + low_ for high, low_ in carried.iter_rows()]
    else:
        totals = [int(EXACT.scaleb(Decimal(total), scale)) for total in sums]
    rest: dict[int, int] = {}
    for row, total in enumerate(totals):
        if abs(total) >= LIMIT:
            totals[row], rest[row] = total // 2, total - total // 2
            if max(abs(totals[row]), abs(rest[row])) >= LIMIT:
                raise SumOverflow.of(layout.name, [part.name])
    kept = [EXACT.scaleb(Decimal(total), -scale) for total in totals]
    return _as(sums, kept), {row: EXACT.scaleb(Decimal(total), -scale) for row, total in rest.items()}


def _as(values: Values, decimals: Sequence[Decimal | int]) -> Values:
    """Decimals in the form of `values`: a list, or a column of texts, since Polars's own decimals lose digits."""
    if isinstance(values, pl.Series):
        return pl.Series([format(Decimal(value), "f") for value in decimals], dtype=pl.String)
    return decimals


def _fits() -> pl.Expr:
    high, low_ = pl.col("high"), pl.col("low")
    return (high < _int(BASE)) & ((high > _int(-BASE)) | ((high == _int(-BASE)) & (low_ > _int(0))))


def _text(scale: int) -> pl.Expr:
    """Numbers that fit, as texts for Postgres: Polars cannot turn a whole number into a decimal's digits."""
    total = pl.col("high") * _int(BASE) + pl.col("low")
    positive = pl.when(total < _int(0)).then(_int(0) - total).otherwise(total)
    sign = pl.when(total < _int(0)).then(pl.lit("-")).otherwise(pl.lit(""))
    if not scale:
        return pl.concat_str(sign, positive.cast(pl.String))
    unit = _int(10**scale)
    return pl.concat_str(
        sign, (positive // unit).cast(pl.String), pl.lit("."), (positive % unit).cast(pl.String).str.zfill(scale)
    )


def scale_of(part: Stored) -> int:
    """Decimal places of a wide sum's column."""
    assert isinstance(part.type.dtype, pl.Decimal)
    return part.type.dtype.scale


def _int(number: int) -> pl.Expr:
    return pl.lit(number, dtype=pl.Int128)
