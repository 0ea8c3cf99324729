"""Keys or values of consecutive records as one Polars column, which makes Python objects only on request."""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import polars as pl
from numpy.typing import NDArray


class BinaryColumn(Sequence[bytes | None]):
    """A sequence of bytes or nulls over a binary series; slices share its memory."""

    __slots__ = ("series",)

    def __init__(self, series: pl.Series) -> None:
        self.series = series

    def __len__(self) -> int:
        return len(self.series)

    @overload
    def __getitem__(self, at: int) -> bytes | None: ...
    @overload
    def __getitem__(self, at: slice) -> "BinaryColumn": ...
    def __getitem__(self, at: int | slice) -> "bytes | BinaryColumn | None":
        found = self.series[at]
        return BinaryColumn(found) if isinstance(found, pl.Series) else found

    def __iter__(self) -> Iterator[bytes | None]:
        return iter(self.series.to_list())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # compared like a list, so not hashed either


def joined(parts: Sequence[Sequence[bytes | None]]) -> Sequence[bytes | None]:
    """The sequences one after another. Columns stay a column."""
    if len(parts) == 1:
        return parts[0]
    columns = [part.series for part in parts if isinstance(part, BinaryColumn)]
    if columns and len(columns) == len(parts):
        return BinaryColumn(pl.concat(columns))
    return [value for part in parts for value in part]


def taken(values: Sequence[bytes | None], rows: NDArray[np.int64]) -> list[bytes | None]:
    """The values at some rows, in the order of `rows`."""
    if isinstance(values, BinaryColumn):
        return values.series.gather(rows).to_list()
    return list(values) if len(rows) == len(values) else [values[row] for row in rows.tolist()]
