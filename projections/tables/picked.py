"""Quantiles and most common values, picked from the counted values of a row: in Python, in Polars, and in Postgres.

Invariant: all three pick the same value. Values are ordered as Postgres orders them, texts by their bytes, and a value that
occurs twice is counted twice.
"""

from bisect import insort
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import polars as pl
from psycopg import sql

from refold.projections.declaring.gathering import Picked

VALUE, COUNT = "Value", "Count"
"""Names of our own, of a side table's columns: authors' names have no upper case."""


class CountedValues:
    """Values of one row and how often each occurs. It grows in place, and picks without looking at all of them."""

    def __init__(self) -> None:
        self.counts: dict[Any, int] = {}
        self._ordered: list[Any] = []
        self._most: tuple[int, Any] = (0, None)

    def __len__(self) -> int:
        return len(self._ordered)

    def __copy__(self) -> "CountedValues":
        copied = CountedValues()
        copied.counts, copied._ordered, copied._most = dict(self.counts), list(self._ordered), self._most
        return copied

    def add(self, value: Any) -> None:
        """Count a value once more."""
        insort(self._ordered, value)
        number = self.counts[value] = self.counts.get(value, 0) + 1
        most, common = self._most
        if number > most or (number == most and value < common):
            self._most = number, value

    def listed(self) -> list[dict[str, Any]]:
        """The values in order, as a partial holds them."""
        return [{VALUE: value, COUNT: number} for value, number in sorted(self.counts.items())]

    def picked(self, pick: Picked) -> Any:
        """The value that is picked; None without values."""
        if not self._ordered:
            return None
        return self._most[1] if pick.share is None else self._ordered[rank(pick.share, len(self._ordered)) - 1]


def rank(share: Fraction, number: int) -> int:
    """The place, from 1, of a quantile among so many values in order."""
    return max(1, -(-share.numerator * number // share.denominator))


def total_of(held: CountedValues | Sequence[Mapping[str, Any]]) -> int:
    """The number of all values, repeated ones included."""
    return len(held) if isinstance(held, CountedValues) else sum(one[COUNT] for one in held)


def picked_of(pick: Picked, held: CountedValues | Sequence[Mapping[str, Any]]) -> Any:
    """The value that is picked from those of a row, or of a partial's row; None without values."""
    if isinstance(held, CountedValues):
        return held.picked(pick)
    if pick.share is None:
        return (
            max(held, key=lambda one: one[COUNT])[VALUE] if held else None
        )  # the first of several, which is the least
    left = rank(pick.share, total_of(held))
    for one in held:
        left -= one[COUNT]
        if left <= 0:
            return one[VALUE]
    return None


def picking(pick: Picked) -> pl.Expr:
    """The value that is picked from a group of values in order, with their counts."""
    value, count = pl.col(VALUE), pl.col(COUNT)
    if pick.share is None:
        return value.filter(count == count.max()).first()
    over, under = pick.share.numerator, pick.share.denominator
    return value.filter(count.cum_sum() * under >= count.sum() * over).first()


def picking_sql(pick: Picked) -> sql.Composed:
    """The value that is picked from rows `v` of a row's values, their counts, and the counts up to each and of all: `reached`, `total`."""
    value = sql.Identifier("v", VALUE)
    if pick.share is None:
        return sql.SQL("(array_agg({value} ORDER BY {count} DESC, {value}))[1]").format(
            value=value, count=sql.Identifier("v", COUNT)
        )
    share = {"over": sql.Literal(pick.share.numerator), "under": sql.Literal(pick.share.denominator)}
    return sql.SQL("min({value}) FILTER (WHERE v.reached * {under} >= v.total * {over})").format(value=value, **share)
