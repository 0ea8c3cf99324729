"""Checks decoded columns for values beyond their type, which Polars accepts in Avro. `walk` checks the bytes.

Nothing is repaired here: a chunk that fails a check is read again record by record.
"""

from datetime import date
from typing import Any

import polars as pl

from refold.schemas.binary import LEAST_INT, MOST_INT
from refold.schemas.columns import envelope as m
from refold.schemas.columns.layout import Layout, Leaf

_DAY_MICROS = 86_400_000_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FIRST_DAY, _LAST_DAY = date.min.toordinal() - _EPOCH_DAY, date.max.toordinal() - _EPOCH_DAY
NO_NUL = frozenset({m.CATEGORY, m.STREAM, m.ACTOR, m.CORRELATION_ID})


class Bounds:
    """The bounds of every column of a layout, checked by its least and greatest value."""

    def __init__(self, layout: Layout) -> None:
        found = {leaf.name: bounds for leaf in layout.leaves if (bounds := bounds_of(leaf)) is not None}
        lists = {leaf.name for leaf in layout.leaves if leaf.logical == "array"}
        self._least, self._most = [least for least, _ in found.values()], [most for _, most in found.values()]
        self._extremes = [extreme for name in found for extreme in _extremes(name, is_list=name in lists)]
        texts = [pl.col(leaf.name) for leaf in layout.leaves if leaf.name in NO_NUL]
        hidden = [text.str.contains("\0", literal=True).any() for text in texts]
        self._nul = pl.any_horizontal(pl.lit(value=False), *hidden).alias("nul")

    def hold(self, frame: pl.DataFrame, sentinel: bytes) -> bool:
        """Whether the frame keeps the bounds and each record ended at its sentinel."""
        whole = (pl.col("_sentinel") == pl.lit(sentinel)).all().alias("whole")
        *extremes, nul, ended = frame.select(*self._extremes, self._nul, whole).row(0)
        if nul or not ended:
            return False
        least, most = zip(extremes[::2], self._least, strict=True), zip(extremes[1::2], self._most, strict=True)
        return all(n is None or n >= limit for n, limit in least) and all(n is None or n <= limit for n, limit in most)


def _extremes(name: str, *, is_list: bool) -> list[pl.Expr]:
    numbers = pl.col(name).explode() if is_list else pl.col(name).to_physical()
    return [numbers.min().alias(f"{name} least"), numbers.max().alias(f"{name} most")]


def bounds_of(leaf: Leaf) -> tuple[int, int] | None:
    """The least and the greatest number that a leaf's type holds; None for 64 bits and for what is no number."""
    match leaf.logical:
        case "int":
            return LEAST_INT, MOST_INT
        case "array" if leaf.kind["items"] == "int":
            return LEAST_INT, MOST_INT
        case "date":
            return _FIRST_DAY, _LAST_DAY
        case "timestamp-micros":
            return _FIRST_DAY * _DAY_MICROS, (_LAST_DAY + 1) * _DAY_MICROS - 1
        case "decimal":
            most = 10 ** int(leaf.kind["precision"]) - 1
            return -most, most
    return None


def todays_types(layout: Layout) -> list[pl.Expr]:
    """Casts from the types that Polars read to the types of the columns."""
    casts: dict[str, Any] = {"int": pl.Int32, "enum": pl.String}
    found = [pl.col(leaf.name).cast(casts[leaf.logical]) for leaf in layout.leaves if leaf.logical in casts]
    found += [pl.col(leaf.name).cast(pl.Int32).cast(pl.Date) for leaf in layout.leaves if leaf.logical == "date"]
    narrow = [leaf for leaf in layout.leaves if leaf.logical == "array" and leaf.kind["items"] == "int"]
    return [*found, *(pl.col(leaf.name).cast(pl.List(pl.Int32)) for leaf in narrow)]
