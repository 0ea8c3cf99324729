"""Reads the records at given offsets: from several stretches of all partitions at once, each time little more than their batches.

A window of each partition's offsets is divided into stretches. One round asks for the next batch of each stretch, and
decodes all that arrive as one block: a round trip and a decode of columns cost far more than a batch. While one half of
the stretches is decoded, the answers to the other half arrive. A window is handed on in order once it is read whole.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from time import monotonic

import numpy as np

from refold.schemas.columns.binary_column import taken
from refold.streams.chunk import Place
from refold.streams.errors import KafkaUnavailable, LogHole
from refold.streams.kafka.fetch import Fetched, Fetcher
from refold.streams.kafka.record_batches import RecordBatch, batches_of, values_of

_FEWEST_BYTES, _MOST_BYTES = 16 << 10, 8 << 20
_ROUND_BYTES = 8 << 20
"""About the bytes of a round. Each place gets one stretch at least, so large batches make a round larger."""
_STRETCHES, _HALVES = 8, 2
_FIRST, _MOST_RECORDS, _WINDOW_BYTES = 64, 8_192, 16 << 20
"""Offsets of a partition in the first window; most in a later one, which has about so many bytes of records in all."""
_POLL_S, _SILENCE_S = 1.0, 15.0
Records = list[tuple[int, bytes | None]]
"""Offsets with their values, ascending."""


@dataclass
class _Stretch:
    """Some of a place's offsets, ascending. `at`: how many of them are read."""

    place: Place
    offsets: Sequence[int]
    at: int = 0

    @property
    def next(self) -> int:
        return self.offsets[self.at]

    @property
    def is_read(self) -> bool:
        return self.at == len(self.offsets)


@dataclass(frozen=True)
class _Picked:
    """A batch and the offsets wanted of it."""

    place: Place
    batch: RecordBatch
    offsets: Sequence[int]


class PlaceReader:
    """Reads single records of some topics. One thread uses it."""

    def __init__(self, servers: str, topics: Sequence[str]) -> None:
        """Raises KafkaUnavailable."""
        self._fetcher = Fetcher(servers, topics, place_bytes=_FEWEST_BYTES)

    def read(self, wanted: Mapping[Place, Sequence[int]]) -> Iterator[tuple[Place, Records]]:
        """The records at these offsets, ascending in each place.

        Raises LogHole, LogTrimmed, LogCorrupt; KafkaUnavailable after some seconds without a record.
        """
        left, most = {place: offsets for place, offsets in wanted.items() if offsets}, _FIRST
        while left:
            found: dict[Place, Records] = {place: [] for place in left}
            for place, records in self._window({place: offsets[:most] for place, offsets in left.items()}):
                found[place] += records
            left = {place: offsets[most:] for place, offsets in left.items() if len(offsets) > most}
            most = _next_window(found)
            for place, records in found.items():
                yield place, sorted(records, key=itemgetter(0))

    def _window(self, wanted: Mapping[Place, Sequence[int]]) -> Iterator[tuple[Place, Records]]:
        """The records at these offsets as they arrive, in no order."""
        halves = _divided(wanted)
        with ThreadPoolExecutor(1, "places") as asking:
            waiting = deque((half, asking.submit(self._ask, half)) for half in halves)
            heard = monotonic()
            while waiting:
                half, asked = waiting.popleft()
                picked = self._picked(asked)
                half = [one for one in half if not one.is_read]
                if half:
                    waiting.append((half, asking.submit(self._ask, half)))
                if picked:
                    heard = monotonic()
                    yield from _values(picked)
                elif monotonic() - heard > _SILENCE_S:
                    raise KafkaUnavailable(f"{half[0].place}: no record for {_SILENCE_S:.0f} s")

    def close(self) -> None:
        """End all connections."""
        self._fetcher.close()

    def _ask(self, half: Sequence[_Stretch]) -> list[tuple[_Stretch, Fetched]]:
        """The answers to one round: a request has each place once."""
        rounds: list[dict[Place, _Stretch]] = []
        ahead = max(1, _ROUND_BYTES // (self._fetcher.place_bytes * len({one.place for one in half})))
        for stretch in half:
            free = next((of_it for of_it in rounds if stretch.place not in of_it), None)
            if free is not None:
                free[stretch.place] = stretch
            elif len(rounds) < ahead:
                rounds.append({stretch.place: stretch})
        asked = [{place: stretch.next for place, stretch in of_it.items()} for of_it in rounds]
        answers = self._fetcher.fetch_all(asked, _POLL_S)
        return [(of_it[one.place], one) for of_it, found in zip(rounds, answers, strict=True) for one in found]

    def _picked(self, asked: "Future[list[tuple[_Stretch, Fetched]]]") -> list[_Picked]:
        answers, found, sizes = asked.result(), list[_Picked](), list[int]()
        for stretch, fetched in answers:
            for batch in batches_of(fetched.record_set, f"{stretch.place[0]}/{stretch.place[1]}"):
                sizes.append(len(batch.data))
                if offsets := _within(stretch, batch):
                    found.append(_Picked(stretch.place, batch, offsets))
                if stretch.is_read:
                    break
        if sizes:
            self._fetcher.place_bytes = max(_FEWEST_BYTES, min(_MOST_BYTES, 2 * sum(sizes) // len(sizes)))
        elif answers:  # every batch was cut off
            self._fetcher.place_bytes = min(_MOST_BYTES, 2 * self._fetcher.place_bytes)
        return found


def _next_window(found: Mapping[Place, Records]) -> int:
    """How many offsets of each place to read next, for their number and size so far."""
    size = sum(len(value or b"") for records in found.values() for _, value in records)
    number = sum(len(records) for records in found.values())
    return min(_MOST_RECORDS, max(1, _WINDOW_BYTES * number // (len(found) * max(1, size))))


def _divided(wanted: Mapping[Place, Sequence[int]]) -> list[list[_Stretch]]:
    """The stretches that are read at once, in halves that take turns."""
    halves: list[list[_Stretch]] = [[] for _ in range(_HALVES)]
    for place, offsets in wanted.items():
        size = -(-len(offsets) // (_STRETCHES * _HALVES))
        for number, first in enumerate(range(0, len(offsets), max(1, size))):
            halves[number % _HALVES].append(_Stretch(place, offsets[first : first + size]))
    return [half for half in halves if half]


def _within(stretch: _Stretch, batch: RecordBatch) -> list[int]:
    """The stretch's next offsets that are in a batch, which are then read. Raises LogHole."""
    first = stretch.at
    if batch.is_control or batch.base > stretch.next:
        raise LogHole(f"{stretch.place[0]}/{stretch.place[1]}: an offset is missing behind {stretch.next}")
    while not stretch.is_read and stretch.next < batch.end:
        stretch.at += 1
    return list(stretch.offsets[first : stretch.at])


def _values(picked: Sequence[_Picked]) -> Iterator[tuple[Place, Records]]:
    """The wanted records of batches, all decoded at once. Raises LogHole, LogCorrupt."""
    batches = [one.batch for one in picked]
    held = values_of(batches)
    starts = np.cumsum([0, *(batch.count for batch in batches)])
    rows = [np.array(one.offsets) - one.batch.base + start for one, start in zip(picked, starts, strict=False)]
    values = iter(taken(held, np.concatenate(rows)))
    for one in picked:
        yield one.place, [(offset, next(values)) for offset in one.offsets]
