"""Keys or values of consecutive records as one Polars column, which makes Python objects only on request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast, overload

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


@dataclass(frozen=True)
class Block:
    """Values one after another, each followed by the same few bytes. `lengths`: of the values alone."""

    data: NDArray[np.uint8]
    lengths: NDArray[np.int64]


def block_of(values: Sequence[bytes | None], rows: NDArray[np.int64], end: bytes) -> Block:
    """The values at some rows, in the order of `rows`, with `end` after each. None of them is null."""
    if isinstance(values, BinaryColumn):
        chosen = values.series.gather(rows)
        ended = (chosen + pl.Series([end])).cast(pl.List(pl.UInt8)).explode(empty_as_null=False)
        return Block(ended.to_numpy(), chosen.bin.size().cast(pl.Int64).to_numpy())
    found = cast("list[bytes]", taken(values, rows))
    data = np.frombuffer(end.join([*found, b""]), np.uint8)
    return Block(data, np.fromiter(map(len, found), np.int64, len(found)))


def taken(values: Sequence[bytes | None], rows: NDArray[np.int64]) -> list[bytes | None]:
    """The values at some rows, in the order of `rows`."""
    if isinstance(values, BinaryColumn):
        return values.series.gather(rows).to_list()
    return list(values) if len(rows) == len(values) else [values[row] for row in rows.tolist()]
