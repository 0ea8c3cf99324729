"""Turns a decoded column into the values that authors' classes hold."""

from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Protocol

import polars as pl

from refold.schemas.arithmetic import EXACT

_INT64_DIGITS = 18
_REMEMBERED = 65_536


class _Read(Protocol):
    def __call__(self, unscaled: int | None, /) -> Decimal | None: ...


def values_of(column: pl.Series) -> list[Any]:
    """Its values in order, None for null. Amounts are made from their integers and cached: few, and often repeated."""
    kind = column.dtype
    if isinstance(kind, pl.Decimal) and kind.precision <= _INT64_DIGITS:
        return list(map(_reader(kind.scale), column.to_physical().cast(pl.Int64).to_list()))
    return column.to_list()


@cache
def _reader(scale: int) -> _Read:
    @lru_cache(_REMEMBERED)
    def read(unscaled: int | None) -> Decimal | None:
        return None if unscaled is None else EXACT.scaleb(Decimal(unscaled), -scale)

    return read
