"""Values of consecutive records as slices of the bytes that they were fetched in, which copies none of them.

`cut` in `kernels` makes the slices. Values are never null here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import overload

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Slices:
    """Slices of some bytes: where each begins, and how long it is."""

    data: NDArray[np.uint8]
    starts: Rows
    lengths: Rows

    def at(self, row: int) -> bytes:
        """The bytes of one slice."""
        return self.data[self.starts[row] : self.starts[row] + self.lengths[row]].tobytes()

    def all_at(self, rows: Rows) -> list[bytes]:
        """The bytes of some slices."""
        held, starts = self.data.data, self.starts[rows]
        ends = starts + self.lengths[rows]
        return [bytes(held[start:end]) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


class SlicedColumn(Sequence[bytes | None]):
    """A sequence of bytes over slices of one or more fetched blocks; parts of it share their memory."""

    __slots__ = ("ends", "parts")

    def __init__(self, parts: Sequence[Slices]) -> None:
        self.parts = tuple(parts)
        self.ends = list(accumulate(len(part.starts) for part in self.parts))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return sum(int(part.lengths.sum()) for part in self.parts)

    @overload
    def __getitem__(self, at: int) -> bytes | None: ...
    @overload
    def __getitem__(self, at: slice) -> "SlicedColumn": ...
    def __getitem__(self, at: int | slice) -> "bytes | SlicedColumn | None":
        if not isinstance(at, slice):
            row = range(len(self))[at]
            return next(part.at(row - first) for first, part in self._placed() if row < first + len(part.starts))
        low, high, step = at.indices(len(self))
        if step != 1:
            raise ValueError("only consecutive values share memory")
        cut = [(part, slice(max(0, low - first), max(0, high - first))) for first, part in self._placed()]
        return SlicedColumn(
            [Slices(part.data, part.starts[some], part.lengths[some]) for part, some in cut if len(part.starts[some])]
        )

    def __iter__(self) -> Iterator[bytes | None]:
        return (part.at(row) for part in self.parts for row in range(len(part.starts)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # compared like a list, so not hashed either

    def of_parts(self, rows: Rows) -> Iterator[tuple[Slices, Rows]]:
        """Each part that holds some of the ascending `rows`, with their rows within it."""
        for first, part in self._placed():
            low, high = np.searchsorted(rows, (first, first + len(part.starts)))
            if low < high:
                yield part, rows[low:high] - first

    def _placed(self) -> Iterator[tuple[int, Slices]]:
        """Each part and the row at which it begins."""
        return zip([0, *self.ends], self.parts, strict=False)
