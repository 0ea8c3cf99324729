"""Keys or values of consecutive records as one Polars column, which makes Python objects only on request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refold.schemas.columns.compiled import load
from refold.schemas.columns.sliced_column import SlicedColumn


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
    sliced = [part for part in parts if isinstance(part, SlicedColumn)]
    if sliced and len(sliced) == len(parts):
        return SlicedColumn([slices for part in sliced for slices in part.parts])
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
    """The values at some rows, in the order of `rows`, which is ascending, with `end` after each. None of them is null."""
    if isinstance(values, SlicedColumn):
        return _block_of_slices(values, rows, end)
    if isinstance(values, BinaryColumn):
        chosen = values.series.gather(rows)
        ended = (chosen + pl.Series([end])).cast(pl.List(pl.UInt8)).explode(empty_as_null=False)
        return Block(ended.to_numpy(), chosen.bin.size().cast(pl.Int64).to_numpy())
    found = cast("list[bytes]", taken(values, rows))
    data = np.frombuffer(end.join([*found, b""]), np.uint8)
    return Block(data, np.fromiter(map(len, found), np.int64, len(found)))


def _block_of_slices(values: SlicedColumn, rows: NDArray[np.int64], end: bytes) -> Block:
    kernels, chosen = load(), list(values.of_parts(rows))
    assert kernels is not None, "slices were cut by a compiled loop"
    lengths = np.concatenate([part.lengths[of_it] for part, of_it in chosen])
    out = np.empty(int(lengths.sum()) + len(rows) * len(end), np.uint8)
    filled, tail = 0, np.frombuffer(end, np.uint8)
    for part, of_it in chosen:
        filled = kernels.gather(part.data, part.starts, part.lengths, of_it, tail, out, filled)
    return Block(out, lengths)


def runs_of(values: Sequence[bytes | None]) -> tuple[list[bytes | None], NDArray[np.int64]]:
    """Equal values that follow each other as one, and how often each is there."""
    if isinstance(values, SlicedColumn):
        kernels, firsts = load(), np.empty(len(values), np.bool_)
        assert kernels is not None, "slices were cut by a compiled loop"
        for part, end in zip(values.parts, values.ends, strict=True):
            kernels.runs(part.data, part.starts, part.lengths, firsts[end - len(part.starts) : end])
        at = np.flatnonzero(firsts)
        return taken(values, at), np.diff(at, append=len(values))
    series = values.series if isinstance(values, BinaryColumn) else pl.Series(list(values), dtype=pl.Binary)
    runs = series.rle().struct.unnest()
    return runs["value"].to_list(), runs["len"].cast(pl.Int64).to_numpy()


def taken(values: Sequence[bytes | None], rows: NDArray[np.int64]) -> list[bytes | None]:
    """The values at some rows, in the order of `rows`, which is ascending."""
    if isinstance(values, BinaryColumn):
        return values.series.gather(rows).to_list()
    if isinstance(values, SlicedColumn):
        return [value for part, of_it in values.of_parts(rows) for value in part.all_at(of_it)]
    return list(values) if len(rows) == len(values) else [values[row] for row in rows.tolist()]
