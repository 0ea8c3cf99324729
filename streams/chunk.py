"""A chunk: consecutive records of one partition, and the position they follow."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from refold.schemas.columns.binary_column import BinaryColumn, joined
from refold.schemas.columns.sliced_column import SlicedColumn

Place = tuple[str, int]
"""A topic's full name and the number of a partition."""


@dataclass(frozen=True)
class Chunk:
    """Records `start` … `end - 1` of a partition. A commit compares `start` with the stored position.

    `generation` counts the seeks of the place in this process: a chunk of an older generation is dropped unread.
    """

    topic: str
    part: int
    start: int
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None] | None = None
    last_at: datetime | None = None
    generation: int = 0

    @property
    def place(self) -> Place:
        return self.topic, self.part

    @property
    def end(self) -> int:
        return self.start + len(self.values)

    @cached_property
    def size(self) -> int:
        """Size of the values in bytes, by which the memory of waiting chunks is bounded."""
        if isinstance(self.values, BinaryColumn):
            return int(self.values.series.bin.size().sum())
        if isinstance(self.values, SlicedColumn):
            return self.values.size
        return sum(len(value) for value in self.values if value is not None)

    def first(self, records: int, most_bytes: int) -> "Chunk":
        """Up to `records` of the first records, fewer if they exceed `most_bytes`, but at least one."""
        size, number = 0, 0
        for value in self.values[:records]:
            size += len(value or b"")
            if number and size > most_bytes:
                break
            number += 1
        return self.upto(self.start + number)

    def upto(self, offset: int) -> "Chunk":
        """The records before `offset`."""
        return self._cut(slice(0, max(0, offset - self.start)), self.start)

    def since(self, offset: int) -> "Chunk":
        """The records from `offset` on."""
        return self._cut(slice(max(0, offset - self.start), None), max(self.start, offset))

    def then(self, following: "Chunk") -> "Chunk":
        """This chunk and the one that follows it, joined. The caller has compared `end` with its `start`."""
        keys = None if self.keys is None or following.keys is None else joined([self.keys, following.keys])
        values = joined([self.values, following.values])
        return replace(self, values=values, keys=keys, last_at=following.last_at or self.last_at)

    def _cut(self, part: slice, start: int) -> "Chunk":
        keys = None if self.keys is None else self.keys[part]
        return replace(self, start=start, values=self.values[part], keys=keys)
