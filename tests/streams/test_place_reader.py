"""Tests reads at single offsets against a log in memory, however its batches are cut, and with the broker's limits of bytes."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.streams.chunk import Place
from refold.streams.errors import LogHole
from refold.streams.kafka import place_reader
from refold.streams.kafka.fetch import Fetched
from refold.streams.kafka.place_reader import PlaceReader
from tests.streams.test_record_batches import BATCHES, PLAIN, Record, batch

T0: Place = ("t", 0)
LOGS = st.dictionaries(st.tuples(st.just("t"), st.integers(0, 2)), BATCHES, min_size=1, max_size=3)


class Broker:
    """Serves batches as a broker does: whole ones up to a limit, of the first place always one."""

    def __init__(self, log: Mapping[Place, Sequence[tuple[int, Sequence[Record]]]], place_bytes: int) -> None:
        self.place_bytes, self.rounds = place_bytes, 0
        self._batches: dict[Place, list[tuple[int, bytes]]] = {}
        for place, batches in log.items():
            ends, found = 0, self._batches.setdefault(place, [])
            for codec, records in batches:
                data = batch(ends, codec, records)
                ends += len(records)
                found.append((ends, data))

    def fetch_all(self, asked: Sequence[Mapping[Place, int]], _seconds: float) -> list[list[Fetched]]:
        self.rounds += 1
        return [list(self._served(positions)) for positions in asked]

    def _served(self, positions: Mapping[Place, int]) -> Sequence[Fetched]:
        places = list(positions)
        turn = self.rounds % len(places)
        found = []
        for number, place in enumerate(places[turn:] + places[:turn]):
            data = b"".join(data for end, data in self._batches[place] if end > positions[place])
            first = next(len(data) for end, data in self._batches[place] if end > positions[place])
            most = max(self.place_bytes, first) if not number else self.place_bytes
            found.append(Fetched(place, positions[place], data[:most]))
        return found

    def close(self) -> None:
        pass


def reader(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> PlaceReader:
    monkeypatch.setattr(place_reader, "Fetcher", lambda *_, **__: broker)
    return PlaceReader("nowhere:1", ["t"])


@given(LOGS, st.integers(1, 2_000), st.sampled_from([1, 5, 64]), st.data())
@settings(deadline=None)  # the first batch with a null makes Polars print a backtrace, which takes its time
def test_every_wanted_record_is_read_once_and_in_order(
    log: dict[Place, list[tuple[int, list[Record]]]], most: int, window: int, drawn: st.DataObject
) -> None:
    values = {place: [value for _, some in batches for _, value, _ in some] for place, batches in log.items()}
    wanted = {place: sorted(drawn.draw(st.sets(st.integers(0, len(held) - 1)))) for place, held in values.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place_reader, "_FIRST", window)
        patch.setattr(place_reader, "_MOST_RECORDS", window)
        found: dict[Place, list[tuple[int, bytes | None]]] = {place: [] for place in values}
        for place, records in reader(Broker(log, most), patch).read(wanted):
            found[place] += records
    assert found == {place: [(at, values[place][at]) for at in offsets] for place, offsets in wanted.items()}


def test_near_and_far_offsets_take_few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker({T0: [(0, PLAIN)] * 100}, 16 << 10)
    wanted = {T0: list(range(7, 100 * len(PLAIN), 40))}
    assert sum(len(records) for _, records in reader(broker, monkeypatch).read(wanted)) == len(wanted[T0])
    assert broker.rounds < 20


def test_a_missing_offset_is_a_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker({T0: []}, 1_000)
    broker._batches = {T0: [(len(PLAIN) + 5, batch(5, 0, PLAIN))]}
    with pytest.raises(LogHole, match="t/0: an offset is missing behind 3"):
        list(reader(broker, monkeypatch).read({T0: [3]}))
