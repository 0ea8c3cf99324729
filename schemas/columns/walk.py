"""Checks for all records of a block at once that their Avro bytes have only one reading.

Polars does not check that a union's branch and a boolean are 0 or 1, or that arrays are plain. So the walk goes over
all records field by field, by the sizes of the decoded values in their shortest form, and checks those bytes. If the
bytes have another form, the walk misses its end, and the records are read one by one.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refold.schemas.columns.binary_column import Block
from refold.schemas.columns.layout import SENTINEL_BYTES, Layout, Leaf

Numbers = NDArray[np.int64]
_MOST_DIGITS_OF_A_LONG = 18


class Walk:
    """Walks blocks of one layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._always = any(leaf.logical in {"array", "boolean"} for leaf in layout.leaves)
        self._optional = [leaf.name for leaf in layout.leaves if leaf.optional]
        self._measures = [_measure(leaf) for leaf in layout.leaves]

    def is_needed(self, frame: pl.DataFrame) -> bool:
        """Whether some optional value is present: if all are null, only branches of 0 were read as null."""
        return self._always or any(frame[name].null_count() < frame.height for name in self._optional)

    def holds(self, frame: pl.DataFrame, block: Block) -> bool:
        """Whether each record of the block, with a sentinel after it, can only mean what the frame says."""
        ends = np.cumsum(block.lengths + SENTINEL_BYTES) - SENTINEL_BYTES
        at = ends - block.lengths + self._layout.frame_bytes
        data = block.data
        present = frame.select(pl.col(self._optional).is_not_null()) if self._optional else frame
        measured = frame.select(self._measures)
        everywhere = np.ones(len(ends), np.bool_)
        for leaf in self._layout.leaves:
            there = present[leaf.name].to_numpy() if leaf.optional else everywhere
            if leaf.optional:
                if not np.array_equal(_bytes_at(data, at), 2 * there):
                    return False
                at = at + 1
            measure = measured[leaf.name]
            if leaf.logical == "boolean" and (there & (_bytes_at(data, at) != measure.to_numpy())).any():
                return False
            at = at + there * _sizes(leaf, measure, frame[leaf.name])
        return bool(np.array_equal(at, ends))


def _measure(leaf: Leaf) -> pl.Expr:
    """The number or length that decides a value's size; the size itself for values of more than 64 bits."""
    column = pl.col(leaf.name)
    match leaf.logical:
        case "string":
            found = column.str.len_bytes()
        case "array":
            found = column.list.len()
        case "enum" | "fixed":
            found = pl.lit(0).alias(leaf.name)
        case "decimal" if leaf.kind["precision"] > _MOST_DIGITS_OF_A_LONG:
            found = _wide_sizes(column.to_physical())
        case _:
            found = column.to_physical()
    return found.cast(pl.Int64).fill_null(0)


def _sizes(leaf: Leaf, measure: pl.Series, series: pl.Series) -> Numbers | int:
    """Bytes of each value in its shortest form."""
    numbers = measure.to_numpy()
    found: Numbers | int
    match leaf.logical:
        case "boolean" | "enum":
            found = 1
        case "fixed":
            found = int(leaf.kind["size"])
        case "string":
            found = _text_sizes(numbers)
        case "array":
            found = _array_sizes(numbers, series, of_text=leaf.kind["items"] == "string")
        case "decimal" if leaf.kind["precision"] > _MOST_DIGITS_OF_A_LONG:
            found = numbers
        case "decimal":
            found = _decimal_sizes(numbers)
        case _:
            found = long_sizes(numbers)
    return found


def _text_sizes(lengths: Numbers) -> Numbers:
    return lengths + long_sizes(lengths)


def _array_sizes(counts: Numbers, series: pl.Series, *, of_text: bool) -> Numbers:
    """Bytes of arrays: one block of all items, its count before and a zero after; an empty array is the zero alone."""
    items = series.filter(pl.Series(counts > 0)).explode()
    numbers = (items.str.len_bytes() if of_text else items).cast(pl.Int64).to_numpy()
    each = np.broadcast_to(_text_sizes(numbers) if of_text else long_sizes(numbers), len(numbers))
    total = np.concatenate(([0], np.cumsum(each)))
    ends = np.cumsum(counts)
    return np.where(counts > 0, total[ends] - total[ends - counts] + long_sizes(counts) + 1, 1)


def long_sizes(numbers: Numbers) -> Numbers | int:
    """Bytes of each number as a zigzag varint; one number if all take the same."""
    return _groups(((numbers << 1) ^ (numbers >> 63)).view(np.uint64), 7)


def _decimal_sizes(unscaled: Numbers) -> Numbers | int:
    """Bytes of two's complement with a sign bit, after a length that takes one byte."""
    magnitude = (unscaled ^ (unscaled >> 63)).view(np.uint64)
    return _groups(magnitude << np.uint64(1), 8) + 1


def _wide_sizes(unscaled: pl.Expr) -> pl.Expr:
    """The same for numbers of up to 128 bits, which numpy does not have."""
    magnitude = pl.when(unscaled < 0).then(-1 - unscaled).otherwise(unscaled)
    longer = [(magnitude >= pl.lit(1 << 8 * taken - 1, pl.Int128)).cast(pl.Int64) for taken in range(1, 16)]
    return pl.sum_horizontal(pl.lit(2, pl.Int64), *longer).alias(unscaled.meta.output_name())


def _groups(numbers: NDArray[np.uint64], bits: int) -> Numbers | int:
    """How many groups of `bits` bits each number takes, at least one; one number if all rows take the same."""
    if not len(numbers):
        return 1
    least, most = (max(1, -(-int(n).bit_length() // bits)) for n in (numbers.min(), numbers.max()))
    found: Numbers | int = least
    for taken in range(least, most):
        found = found + (numbers >= np.uint64(1 << bits * taken))
    return found


def _bytes_at(data: NDArray[np.uint8], at: Numbers) -> NDArray[np.uint8]:
    """The byte at each index. A walk on the wrong bytes may ask for one after the end."""
    return data[np.minimum(at, len(data) - 1)]
