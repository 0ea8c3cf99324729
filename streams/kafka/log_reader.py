"""Reads the log as chunks of columns, from given positions on; it raises if an offset is missing."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from refold.schemas.columns.binary_column import BinaryColumn
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import LogHole
from refold.streams.kafka import clients
from refold.streams.kafka.fetch import Fetched, Fetcher
from refold.streams.kafka.messages import check_range, moment, watermarks
from refold.streams.kafka.record_batches import batches_of, cut, rows_of


class LogReader:
    """Reads given partitions from given positions on, without a consumer group. Chunks hold columns, not objects."""

    def __init__(
        self,
        servers: str,
        positions: Mapping[Place, int],
        *,
        records: int,
        keys: bool = False,
        stream_keys: bool = False,
    ) -> None:
        """`stream_keys`: of keys only those of streams matter, so that a null one may be read as empty, which is quicker.

        Raises LogTrimmed, LogShorter, KafkaUnavailable.
        """
        self._records, self._keys, self._stream_keys = records, keys, stream_keys
        self.next = dict(positions)
        self._fetched = dict(positions)
        self._kept: deque[Chunk] = deque()
        self._client = clients.consumer(servers)
        for place, position in self.next.items():
            check_range(self._client, place, position)
        self._fetcher = Fetcher(servers, sorted({topic for topic, _ in positions}))

    def poll(self, seconds: float) -> list[Chunk]:
        """The records that have arrived, at most `records`; waits up to `seconds` for the first.

        Raises LogHole, LogTrimmed, LogCorrupt, KafkaUnavailable.
        """
        if not self._kept:
            self._kept.extend(self._arrived(self._fetcher.fetch(self._fetched, seconds)))
        found, room = [], self._records
        while self._kept and room:
            chunk = self._kept.popleft()
            if len(chunk.values) > room:
                self._kept.appendleft(chunk.since(chunk.start + room))
                chunk = chunk.upto(chunk.start + room)
            found.append(chunk)
            room -= len(chunk.values)
            self.next[chunk.place] = chunk.end
        return found

    def ends(self) -> dict[Place, int]:
        """The current end of each partition."""
        return {place: watermarks(self._client, place)[1] for place in self.next}

    def seek(self, place: Place, offset: int) -> None:
        """Continue a place at another offset."""
        self.next[place] = self._fetched[place] = offset
        self._kept = deque(chunk for chunk in self._kept if chunk.place != place)

    def close(self) -> None:
        self._fetcher.close()
        self._client.close()

    def _arrived(self, fetched: Sequence[Fetched]) -> Iterator[Chunk]:
        for one in fetched:
            chunk = chunk_of(one, keys=self._keys, stream_keys=self._stream_keys)
            if chunk is not None:
                self._fetched[one.place] = chunk.end
                yield chunk


def chunk_of(fetched: Fetched, *, keys: bool, stream_keys: bool = False) -> Chunk | None:
    """The records from the fetched position on; None if no batch is complete. Raises LogHole, LogCorrupt.

    Invariant: offsets are dense (no transactions, no compaction), so a hole is a loss.
    """
    (topic, part), position = fetched.place, fetched.position
    batches = list(batches_of(fetched.record_set, f"{topic}/{part}"))
    if not batches:
        return None
    if any(batch.is_control for batch in batches) or batches[0].base > position:
        raise LogHole(f"{topic}/{part}: an offset is missing behind {position}")
    last_at = moment(batches[-1].last_ms)
    sliced = None if keys else cut(batches, keys=stream_keys)
    if sliced is not None:
        values, held = (column[position - batches[0].base :] for column in sliced)
        return Chunk(topic, part, position, values, held if stream_keys else None, last_at) if values else None
    rows = rows_of(batches)
    dense = pl.int_range(batches[0].base, batches[0].base + rows.height, eager=True)
    if not (rows["offset"] == dense).all():
        raise LogHole(f"{topic}/{part}: an offset is missing behind {position}")
    rows = rows.slice(position - batches[0].base)
    found = (BinaryColumn(rows["value"]), BinaryColumn(rows["key"]) if keys or stream_keys else None)
    return Chunk(topic, part, position, *found, last_at) if rows.height else None
