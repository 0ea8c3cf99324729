"""Reads the records at given offsets: of all partitions at once, and of each no more bytes than it takes to reach them."""

from collections.abc import Iterator, Mapping, Sequence
from time import monotonic

from refold.streams.chunk import Place
from refold.streams.errors import KafkaUnavailable
from refold.streams.kafka.fetch import Fetcher
from refold.streams.kafka.log_reader import chunk_of

_FEWEST_BYTES, _MOST_BYTES = 16 << 10, 8 << 20
_POLL_S, _SILENCE_S = 1.0, 15.0
Records = list[tuple[int, bytes | None]]
"""Offsets with their values, ascending."""


class PlaceReader:
    """Reads single records of some topics. One thread uses it."""

    def __init__(self, servers: str, topics: Sequence[str]) -> None:
        """Raises KafkaUnavailable."""
        self._fetcher = Fetcher(servers, topics, place_bytes=_FEWEST_BYTES)

    def read(self, wanted: Mapping[Place, Sequence[int]]) -> Iterator[tuple[Place, Records]]:
        """The records at these offsets, ascending in each place, as they arrive.

        Raises LogHole, LogTrimmed, LogCorrupt; KafkaUnavailable after some seconds without a record.
        """
        left = {place: list(offsets) for place, offsets in wanted.items() if offsets}
        at = dict.fromkeys(left, 0)
        heard = monotonic()
        while left:
            positions = {place: offsets[at[place]] for place, offsets in left.items()}
            fetched = self._fetcher.fetch(positions, _POLL_S)
            whole = 0
            for one in fetched:
                chunk = chunk_of(one, keys=False)
                if chunk is None:
                    continue
                whole += 1
                heard = monotonic()
                offsets, found = left[one.place], list[tuple[int, bytes | None]]()
                while at[one.place] < len(offsets) and offsets[at[one.place]] < chunk.end:
                    offset = offsets[at[one.place]]
                    found.append((offset, chunk.values[offset - chunk.start]))
                    at[one.place] += 1
                if at[one.place] == len(offsets):
                    del left[one.place]
                yield one.place, found
            if fetched and not whole:  # every batch was cut off
                self._fetcher.place_bytes = min(_MOST_BYTES, 2 * self._fetcher.place_bytes)
            if monotonic() - heard > _SILENCE_S:
                raise KafkaUnavailable(f"{next(iter(positions))}: no record for {_SILENCE_S:.0f} s")

    def close(self) -> None:
        """End all connections."""
        self._fetcher.close()
