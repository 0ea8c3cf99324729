"""Tests record batches as columns against aiokafka's writer, with any codec, nulls, headers and damage."""

import random
from collections.abc import Sequence
from importlib.util import find_spec

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.schemas.columns import compiled
from refold.schemas.columns.binary_column import joined
from refold.schemas.columns.sliced_column import SlicedColumn
from refold.streams.errors import LogCorrupt, LogHole
from refold.streams.kafka.fetch import Fetched
from refold.streams.kafka.log_reader import chunk_of
from refold.streams.kafka.record_batches import RecordBatch, batches_of, cut, rows_of

Record = tuple[bytes | None, bytes | None, bool]
needs_loops = pytest.mark.skipif(find_spec("numba") is None, reason="needs the extra speed")
BYTES = st.none() | st.binary(max_size=300)
CODECS = st.sampled_from([0, 1, 2, 3, 4])
BATCHES = st.lists(
    st.tuples(CODECS, st.lists(st.tuples(BYTES, BYTES, st.booleans()), min_size=1, max_size=12)), min_size=1, max_size=8
)
PLAIN: list[Record] = [(b"k%d" % i, b"value %d" % i * 9, False) for i in range(50)]
COUNTED_FROM, CONTROL = 21, 0x20


def batch(base: int, codec: int, records: Sequence[Record], *, gap: int = 1) -> bytes:
    """A batch as a producer writes it, at the offset that a broker gives it."""
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 10**6)
    for row, (key, value, has_header) in enumerate(records):
        assert builder.append(row * gap, 1_600_000_000_000 + row, key, value, [("h", b"1")] if has_header else [])
    return base.to_bytes(8) + bytes(builder.build())[8:]


def record_set(batches: Sequence[tuple[int, Sequence[Record]]], base: int = 0) -> tuple[bytes, list[Record]]:
    data, all_records = b"", list[Record]()
    for codec, records in batches:
        data += batch(base + len(all_records), codec, records)
        all_records += records
    return data, all_records


@given(BATCHES, st.integers(0, 2**40))
@settings(deadline=None)  # the first batch with a null makes Polars print a backtrace, which takes its time
def test_rows_are_the_records_that_were_written(batches: list[tuple[int, list[Record]]], base: int) -> None:
    data, records = record_set(batches, base)
    rows = rows_of(list(batches_of(data, "t/0")))
    assert rows["offset"].to_list() == list(range(base, base + len(records)))
    assert list(zip(rows["key"], rows["value"], strict=True)) == [(key, value) for key, value, _ in records]


@given(BATCHES, st.data())
@settings(deadline=None)  # the first batch with a null makes Polars print a backtrace, which takes its time
def test_a_set_that_ends_within_a_batch_gives_the_whole_ones(
    batches: list[tuple[int, list[Record]]], drawn: st.DataObject
) -> None:
    data, records = record_set(batches)
    cut = drawn.draw(st.integers(0, len(data)))
    rows = rows_of(list(batches_of(data[:cut], "t/0")))
    assert list(zip(rows["key"], rows["value"], strict=True)) == [(k, v) for k, v, _ in records[: rows.height]]
    ends = [len(record_set(batches[:n])[0]) for n in range(len(batches) + 1)]
    whole = max(n for n, end in enumerate(ends) if end <= cut)
    assert rows.height == sum(len(found) for _, found in batches[:whole])


@needs_loops
@given(BATCHES, st.integers(0, 2**40))
@settings(deadline=None)  # the first one loads the machine code
def test_a_compiled_loop_cuts_out_the_values_unless_one_is_null(
    batches: list[tuple[int, list[Record]]], base: int
) -> None:
    assert compiled.load() is not None
    data, records = record_set(batches, base)
    values = [value for _, value, _ in records]
    found = cut(list(batches_of(data, "t/0")), keys=True)
    if None in values:
        assert found is None
    else:
        assert found is not None
        assert [list(column) for column in found] == [values, [key or b"" for key, _, _ in records]]


@needs_loops
@given(
    st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=200), st.booleans()), min_size=1, max_size=9),
    st.data(),
)
@settings(deadline=None)  # the first one loads the machine code
def test_whatever_a_compiled_loop_cuts_out_of_damaged_records_is_what_the_readers_find(
    records: list[Record], drawn: st.DataObject
) -> None:
    assert compiled.load() is not None
    body = bytearray(batch(0, 0, records)[61:])
    for _ in range(drawn.draw(st.integers(1, 3))):
        body[drawn.draw(st.integers(0, len(body) - 1))] = drawn.draw(st.integers(0, 255))
    one = next(batches_of(batch(0, 0, records), "t/0"))
    damaged = RecordBatch(0, len(records), 0, one.last_ms, memoryview(bytes(one.data[:61]) + bytes(body)))
    found = cut([damaged], keys=True)
    if found is not None:
        rows = rows_of([damaged])
        values, keys = found
        assert values == rows["value"].to_list()
        assert keys == [key or b"" for key in rows["key"]]
        assert rows["offset"].to_list() == list(range(len(records)))


@needs_loops
def test_slices_are_a_sequence_like_any_other() -> None:
    assert compiled.load() is not None
    data, records = record_set([(3, PLAIN), (0, PLAIN)])
    values, (first, second) = [value for _, value, _ in records], list(batches_of(data, "t/0"))
    one, other = cut([first]), cut([second])
    assert one is not None
    assert other is not None
    whole = joined([one[0], other[0]])
    assert isinstance(whole, SlicedColumn)
    assert whole == values
    assert whole.size == sum(len(value or b"") for value in values)
    assert (whole[0], whole[-1], whole[57]) == (values[0], values[-1], values[57])
    for low, high in ((0, 100), (0, 0), (49, 51), (50, 70), (60, 200), (-3, None)):
        assert whole[low:high] == values[low:high]
        assert len(whole[low:high]) == len(values[low:high])
    with pytest.raises(IndexError):
        whole[100]


@needs_loops
def test_without_the_loops_chunks_hold_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled.load() is not None
    data, _ = record_set([(3, PLAIN), (3, PLAIN)], base=7)
    by_loops = chunk_of(Fetched(("t", 0), 31, data), keys=False)
    monkeypatch.setattr(compiled, "_found", [])
    without = chunk_of(Fetched(("t", 0), 31, data), keys=False)
    assert by_loops is not None
    assert without is not None
    assert isinstance(by_loops.values, SlicedColumn)
    assert not isinstance(without.values, SlicedColumn)
    assert (by_loops.start, by_loops.end, by_loops.size, by_loops.last_at) == (
        without.start, without.end, without.size, without.last_at,
    )  # fmt: skip
    assert by_loops.values == without.values


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4])
def test_plain_records_are_never_read_one_by_one(codec: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refold.streams.kafka.record_batches._by_rows", None)
    data, records = record_set([(codec, PLAIN), (codec, PLAIN), ((codec + 1) % 5, PLAIN)])
    assert rows_of(list(batches_of(data, "t/0"))).height == len(records) == 150


@pytest.mark.parametrize("headers", [1, 9, 32])
def test_records_with_equally_many_headers_are_never_read_one_by_one(
    headers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refold.streams.kafka.record_batches._by_rows", None)
    builder = DefaultRecordBatchBuilder(2, 3, False, -1, -1, -1, 10**6)
    for row, (key, value, _) in enumerate(PLAIN):
        named = [(f"ce_{n}", b"held %d" % (row * n)) for n in range(headers)]
        assert builder.append(row, 1_600_000_000_000 + row, key, value, named)
    rows = rows_of(list(batches_of(bytes(builder.build()), "t/0")))
    assert list(zip(rows["key"], rows["value"], strict=True)) == [(key, value) for key, value, _ in PLAIN]


def test_one_null_key_sends_only_its_own_batch_through_the_reader_of_single_records() -> None:
    data, records = record_set([(3, PLAIN), (3, [(None, b"claim", False)]), (3, PLAIN)])
    batches = list(batches_of(data, "t/0"))
    rows = rows_of(batches)
    assert rows["key"].to_list() == [key for key, _, _ in records]
    assert rows["offset"].to_list() == list(range(101))


def test_any_flipped_bit_behind_the_checksum_is_found() -> None:
    data, _ = record_set([(3, PLAIN), (0, PLAIN)])
    chance = random.Random(7)
    for _ in range(300):
        at = chance.randrange(17, len(batch(0, 3, PLAIN)))
        broken = bytearray(data)
        broken[at] ^= 1 << chance.randrange(8)
        with pytest.raises(LogCorrupt):
            rows_of(list(batches_of(bytes(broken), "t/0")))


@pytest.mark.parametrize("magic", [0, 1, 3, 255])
def test_another_message_format_is_refused(magic: int) -> None:
    data = bytearray(batch(0, 0, PLAIN))
    data[16] = magic
    with pytest.raises(LogCorrupt, match="format 2"):
        list(batches_of(bytes(data), "t/0"))


def test_a_sound_checksum_over_senseless_content_is_refused() -> None:
    for codec in (1, 2, 3, 4):
        with pytest.raises(LogCorrupt):
            rows_of(list(batches_of(_signed(batch(0, 0, PLAIN), codec), "t/0")))
    with pytest.raises(LogCorrupt):
        rows_of(list(batches_of(_signed(batch(0, 0, PLAIN)[:-3], 0), "t/0")))


def test_a_chunk_starts_at_the_position_within_a_batch() -> None:
    data, records = record_set([(3, PLAIN), (3, PLAIN)], base=1000)
    chunk = chunk_of(Fetched(("t", 0), 1030, data), keys=True)
    assert chunk is not None
    assert (chunk.start, chunk.end) == (1030, 1100)
    assert chunk.values == [value for _, value, _ in records[30:]]
    assert chunk.keys == [key for key, _, _ in records[30:]]
    assert chunk.values[0] == records[30][1]
    assert chunk.upto(1032).since(1031).values == [records[31][1]]


def test_nothing_whole_or_nothing_new_gives_no_chunk() -> None:
    data, _ = record_set([(3, PLAIN)])
    assert chunk_of(Fetched(("t", 0), 0, data[:-1]), keys=False) is None
    assert chunk_of(Fetched(("t", 0), 50, data), keys=False) is None


def test_a_missing_offset_is_a_hole() -> None:
    first, second = batch(0, 3, PLAIN), batch(51, 3, PLAIN)
    for data, position in ((first + second, 0), (second, 50), (batch(0, 3, PLAIN, gap=2), 0)):
        with pytest.raises(LogHole):
            chunk_of(Fetched(("t", 0), position, data), keys=False)


def test_the_marker_of_a_transaction_is_a_hole() -> None:
    control = bytearray(batch(0, 0, [(b"\0\0\0\0", b"\0\0\0\0\0\0", False)]))
    control[22] |= CONTROL
    with pytest.raises(LogHole):
        chunk_of(Fetched(("t", 0), 0, _signed(bytes(control), CONTROL)), keys=False)


def _signed(data: bytes, attributes: int) -> bytes:
    """The batch with other attributes and lengths and checksum that fit."""
    from aiokafka.record.util import calc_crc32c

    changed = bytearray(data)
    changed[8:12] = (len(data) - 12).to_bytes(4)
    changed[21:23] = attributes.to_bytes(2)
    changed[17:21] = calc_crc32c(bytes(changed[COUNTED_FROM:])).to_bytes(4)
    assert DefaultRecordBatch(bytes(changed)).validate_crc()
    return bytes(changed)
