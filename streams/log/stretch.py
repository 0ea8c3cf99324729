"""Reads a stretch of the log: from where a reader stands to given offsets."""

import time
from collections.abc import Iterator, Mapping

from refold.streams.chunk import Chunk, Place
from refold.streams.errors import KafkaUnavailable
from refold.streams.kafka.log_reader import LogReader

_POLL_S = 1.0


def read_until(
    reader: LogReader, ends: Mapping[Place, int], silence_s: float, until: float | None = None
) -> Iterator[Chunk]:
    """A reader's records before `ends`, or until a time (`time.monotonic`).

    Raises KafkaUnavailable after `silence_s` seconds without a record, and as `LogReader.poll`.
    """
    heard = time.monotonic()
    while left := [place for place, end in ends.items() if reader.next[place] < end]:
        if until is not None and time.monotonic() >= until:
            return
        for read in reader.poll(_POLL_S):
            heard = time.monotonic()
            if (chunk := read.upto(ends[read.place])).values:
                yield chunk
        if time.monotonic() - heard > silence_s:
            (topic, part), records = left[0], sum(max(0, ends[place] - reader.next[place]) for place in left)
            raise KafkaUnavailable(f"{topic}/{part}: no record for {silence_s:.0f} s, and {records:,} are left")
