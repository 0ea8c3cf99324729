"""Tests that records moved from batches into others do not change, and that aiokafka reads the same."""

import json
from pathlib import Path

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from refold.streams.kafka.record_batches import batches_of
from refold.streams.kafka.repack import batch_of, records_of
from refold.streams.operation.dump.errors import DumpUnsound
from refold.streams.operation.dump.folder import MANIFEST, DumpFolder, Manifest, Partition, Segment

Content = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
CONTENTS = st.lists(
    st.tuples(
        st.integers(-1, 2**45),
        st.none() | st.binary(max_size=200),
        st.none() | st.binary(max_size=2000),
        st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=9)), max_size=3),
    ),
    min_size=1,
    max_size=80,
)


def written(contents: list[Content], codec: int, stamped: int | None) -> bytes:
    """What a producer sends, and what is stored where the broker stamps it."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, 7, 3, 11, 1 << 24)
    for offset, (millis, key, value, headers) in enumerate(contents):
        assert builder.append(offset, millis, key, value, headers) is not None
    found = builder.build()
    if stamped is not None:
        found[21:23] = (int.from_bytes(found[21:23]) | 8).to_bytes(2)
        found[35:43] = stamped.to_bytes(8)
        _sign(found)
    return bytes(found)


def _sign(batch: bytearray) -> None:
    batch[17:21] = calc_crc32c(bytes(batch[21:])).to_bytes(4)


@given(CONTENTS, st.sampled_from([0, 1, 2, 3, 4]), st.none() | st.integers(1, 2**45))
def test_nothing_of_a_record_changes(contents: list[Content], codec: int, stamped: int | None) -> None:
    (batch,) = batches_of(written(contents, codec, stamped), "here")
    records = list(records_of(batch, "here"))
    assert [(offset, millis) for offset, millis, _ in records] == [
        (offset, millis if stamped is None else stamped) for offset, (millis, *_) in enumerate(contents)
    ]
    again = batch_of(records, codec)
    (read,) = batches_of(again, "there")
    assert list(records_of(read, "there")) == records
    assert [(one.timestamp, one.key, one.value, list(one.headers)) for one in DefaultRecordBatch(again)] == [
        (millis if stamped is None else stamped, key, value, headers) for millis, key, value, headers in contents
    ]
    head = DefaultRecordBatch(again)
    assert (head.producer_id, head.is_transactional, head.timestamp_type, head.compression_type) == (
        -1,
        False,
        0,
        codec,
    )


@pytest.mark.parametrize(
    "topic", ["../x.events", "/etc/x.events", ".", "..", "a/b"], ids=["above", "from the root", "dot", "dots", "below"]
)
def test_a_manifest_names_nothing_outside_of_its_folder(tmp_path: Path, topic: str) -> None:
    folder = DumpFolder(tmp_path)
    segment = Segment(0, 1, 1, 70, "0" * 64)
    folder.write(Manifest("0", "", "2026-01-01T00:00:00+00:00", {}, (Partition(topic, 0, (segment,)),)))
    with pytest.raises(DumpUnsound, match="is not a run of segments"):
        folder.manifest()


@pytest.mark.parametrize("change", [{"format": 2}, {"prefix": "other."}, {"sha256": "0" * 64}, {"partitions": None}])
def test_a_manifest_that_was_changed_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    folder = DumpFolder(tmp_path)
    folder.write(Manifest("0", "", "2026-01-01T00:00:00+00:00", {}, ()))
    assert folder.manifest() is not None
    content = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(content | change))
    with pytest.raises(DumpUnsound):
        folder.manifest()
