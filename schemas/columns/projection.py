"""Reads records of one schema by a compiled loop that checks all fields and keeps the wanted ones.

Numbers become arrays. What may be null and what is no number is copied as it is into one Avro block, which Polars reads.
"""

import io
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refold.schemas.binary import LEAST_LONG, MOST_LONG, long_bytes
from refold.schemas.columns import kernels
from refold.schemas.columns.checks import NO_NUL, bounds_of, todays_types
from refold.schemas.columns.layout import Layout, Leaf, empty_container
from refold.schemas.columns.sliced_column import SlicedColumn

_KINDS = {
    "long": kernels.LONG,
    "int": kernels.INT,
    "string": kernels.TEXT,
    "boolean": kernels.BOOLEAN,
    "enum": kernels.ENUM,
    "fixed": kernels.FIXED,
    "date": kernels.DATE,
    "timestamp-micros": kernels.TIME,
    "decimal": kernels.DECIMAL,
}
_NUMBERS = {"long", "int", "date", "timestamp-micros"}
_MOST_DIGITS_OF_A_LONG = 18


class Projection:
    """The wanted columns of records of one layout."""

    def __init__(self, layout: Layout, wanted: Sequence[str], *, storable: bool = False) -> None:
        """`layout`: one that `can_project`. `storable`: doubt any text that Postgres cannot hold."""
        kept = [leaf for leaf in layout.leaves if leaf.name in wanted]
        self._skip, self._wanted = layout.frame_bytes, [leaf.name for leaf in kept]
        self._numbers = [leaf for leaf in kept if _is_number(leaf)]
        copied = Layout(0, tuple(leaf for leaf in kept if not _is_number(leaf)))
        self._header, self._sync = empty_container(copied.fields()) if copied.leaves else (b"", b"")
        self._casts = todays_types(copied)
        steps = [_step(leaf, self._numbers, copied.leaves, storable) for leaf in layout.leaves]
        self._program = np.array(steps, np.int64).reshape(-1, 6)
        self._dtypes = layout.dtypes()

    def read(self, values: SlicedColumn, rows: NDArray[np.int64]) -> pl.DataFrame | None:
        """The wanted columns of the records at ascending `rows`; None on any doubt."""
        chosen = list(values.of_parts(rows))
        numbers = np.empty((len(self._numbers), len(rows)), np.int64)
        out = np.empty(sum(int(part.lengths[of_it].sum()) for part, of_it in chosen), np.uint8)
        filled, base = 0, 0
        for part, of_it in chosen:
            filled = kernels.project(
                part.data, part.starts, part.lengths, of_it, self._skip, self._program, numbers, base, out, filled
            )
            if filled == kernels.DOUBT:
                return None
            base += len(of_it)
        frame = self._copied(len(rows), out[:filled])
        if frame is None:
            return None
        held = [
            pl.Series(leaf.name, row).cast(_within(leaf)).cast(self._dtypes[leaf.name])
            for leaf, row in zip(self._numbers, numbers, strict=True)
        ]
        return pl.DataFrame([*frame, *held]).select(self._wanted)

    def _copied(self, count: int, block: NDArray[np.uint8]) -> pl.DataFrame | None:
        if not self._header:
            return pl.DataFrame()
        parts = (self._header, long_bytes(count), long_bytes(len(block)), block.data, self._sync)
        try:
            frame = pl.read_avro(io.BytesIO(b"".join(parts)))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # Polars panics (a BaseException); the records are then read without compiled loops
            return None
        return frame.with_columns(self._casts) if frame.height == count else None


def can_project(layout: Layout) -> bool:
    """Whether the loop knows all of a layout's types."""
    return layout.is_columnar and all(
        leaf.logical in _KINDS and not (leaf.logical == "decimal" and leaf.kind["precision"] > _MOST_DIGITS_OF_A_LONG)
        for leaf in layout.leaves
    )


def _is_number(leaf: Leaf) -> bool:
    return leaf.logical in _NUMBERS and not leaf.optional


def _within(leaf: Leaf) -> pl.DataType:
    """Polars makes dates of 32-bit numbers only."""
    return pl.Int32() if leaf.logical == "date" else pl.Int64()


def _step(leaf: Leaf, numbers: Sequence[Leaf], copied: Sequence[Leaf], storable: bool) -> tuple[int, ...]:  # noqa: FBT001 - handed on
    least, most = _limits(leaf, storable)
    fate = kernels.NUMBER if leaf in numbers else kernels.COPIED if leaf in copied else kernels.SKIPPED
    number = numbers.index(leaf) if leaf in numbers else copied.index(leaf) if leaf in copied else 0
    return _KINDS[leaf.logical], int(leaf.optional), least, most, fate, number


def _limits(leaf: Leaf, storable: bool) -> tuple[int, int]:  # noqa: FBT001 - handed on
    """Bounds of a number, the size of a fixed, and whether a text may hide a zero byte."""
    match leaf.logical:
        case "enum":
            return 0, len(leaf.kind["symbols"]) - 1
        case "fixed":
            return 0, int(leaf.kind["size"])
        case "string":
            return 0, int(not storable and leaf.name not in NO_NUL)
    return bounds_of(leaf) or (LEAST_LONG, MOST_LONG)
