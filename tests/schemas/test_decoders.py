"""The contract of decoding: what was written is read, by rows and by columns alike, and an independent library agrees."""

import io
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from refold.schemas.codec import Codec, read_command_envelope, read_envelope
from refold.schemas.contracts import Event
from refold.schemas.errors import BadValue
from refold.schemas.meta import CommandMeta, Meta
from refold.schemas.validate import canonical
from tests.schemas import shapes
from tests.schemas.decoding import assert_alike
from tests.schemas.shapes import CATALOG, COMMAND_METAS, COMMANDS, EVENTS, METAS, OF_EVENT

CODEC = Codec(CATALOG)
FAST = [phase for phase in Phase if phase not in {Phase.shrink, Phase.explain}]
"""Shrinking chunks of records takes minutes; an example is small enough to read as it is."""
ANY_EVENT = st.one_of(*OF_EVENT.values())


def _plain(value: Any) -> Any:
    return (
        value.value
        if isinstance(value, Enum)
        else [_plain(v) for v in value]
        if isinstance(value, tuple | list)
        else value
    )


def _columns(meta: Meta | CommandMeta, body: msgspec.Struct) -> dict[str, Any]:
    envelope = {f"m_{k}": getattr(v, "bytes", v) for k, v in msgspec.structs.asdict(meta).items()}
    return envelope | {k: _plain(v) for k, v in msgspec.structs.asdict(body).items()}


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.__name__)
@given(data=st.data())
@settings(max_examples=40, deadline=None, phases=FAST)
def test_events_of_one_type(cls: type[Event], data: st.DataObject) -> None:
    written = data.draw(st.lists(st.tuples(METAS, OF_EVENT[cls]), min_size=1, max_size=12))
    values = [CODEC.event(meta, event) for meta, event in written]
    assert [CODEC.read_event(value) for value in values] == written
    assert [read_envelope(value) for value in values] == [meta for meta, _ in written]
    rows, refused, fell_back = assert_alike(CATALOG, values)
    assert rows == {row: _columns(meta, event) for row, (meta, event) in enumerate(written)}
    assert refused == {}
    assert fell_back == (len(values) if cls is shapes.Rare else 0)


@given(written=st.lists(st.tuples(METAS, ANY_EVENT), max_size=20))
@settings(max_examples=30, deadline=None, phases=FAST)
def test_chunks_of_all_types(written: list[tuple[Meta, Event]]) -> None:
    rows, refused, _ = assert_alike(CATALOG, [CODEC.event(meta, event) for meta, event in written])
    assert rows == {row: _columns(meta, event) for row, (meta, event) in enumerate(written)}
    assert refused == {}


@given(written=st.lists(st.tuples(COMMAND_METAS, COMMANDS), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None, phases=FAST)
def test_commands(written: list[tuple[CommandMeta, shapes.DoAll]]) -> None:
    values = [CODEC.command(meta, command) for meta, command in written]
    assert [CODEC.read_command(value) for value in values] == written
    assert [read_command_envelope(value) for value in values] == [meta for meta, _ in written]
    rows, refused, fell_back = assert_alike(CATALOG, values)
    assert rows == {row: _columns(meta, command) for row, (meta, command) in enumerate(written)}
    assert (refused, fell_back) == ({}, 0)


def _padded(event: Event) -> bool:
    """Whether a decimal is -2^(8n-1) at some scale: fastavro gives it a byte that it does not need (findings)."""
    found = [value for value in msgspec.structs.astuple(event) if isinstance(value, Decimal) and value < 0]
    amounts = {-int(value.scaleb(scale)) for value in found for scale in range(20)}
    return any(amount.bit_length() % 8 == 0 and amount.bit_count() == 1 for amount in amounts)


@given(meta=METAS, event=ANY_EVENT)
@settings(max_examples=100, deadline=None, phases=FAST)
def test_fastavro_writes_the_same_bytes_and_reads_ours(meta: Meta, event: Event) -> None:
    writer = CATALOG.current(type(event))
    value = CODEC.event(meta, event)
    parsed = fastavro.parse_schema(writer.schema, _force=True)
    envelope = {k: getattr(v, "bytes", v) for k, v in msgspec.structs.asdict(meta).items()}
    body = {k: _plain(v) for k, v in msgspec.structs.asdict(event).items()}
    record = {"meta": {**envelope, "size": value[5:9]}, **body}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed, record)
    assert _padded(event) or out.getvalue() == value[5:]
    assert fastavro.schemaless_reader(io.BytesIO(value[5:]), parsed, None) == record


@given(command=COMMANDS)
@settings(max_examples=60, deadline=None, phases=FAST)
def test_canonical_commands_survive_their_bytes(command: shapes.DoAll) -> None:
    once = canonical(command)
    _, again = CODEC.read_command(CODEC.command(COMMAND_META, once))
    assert again == once
    assert canonical(again) is again


COMMAND_META = CommandMeta(
    command_id=shapes.meta().command_id, category="tests.shapes", stream="s-1", occurred_at=shapes.meta().occurred_at
)


@pytest.mark.parametrize(
    "change",
    [
        {"small": 2**31},
        {"small": "1"},
        {"small": 1.5},
        {"large": 2**63},
        {"text": "\ud800"},
        {"text": 5},
        {"amount": Decimal("1.234")},
        {"amount": Decimal("12345678901.00")},
        {"amount": Decimal("NaN")},
        {"amount": 5},
        {"at": datetime(2026, 1, 1)},  # noqa: DTZ001 - naive on purpose
        {"day": "2026-01-01"},
        {"color": "mauve"},
        {"flag": 1},
        {"text": "x" * (1 << 20)},
    ],
    ids=lambda change: f"{next(iter(change))}={str(next(iter(change.values())))[:12]!a}",
)
def test_a_value_that_its_type_cannot_hold_is_never_written(change: dict[str, Any]) -> None:
    good = shapes.Plain(
        flag=True,
        small=1,
        large=1,
        text="",
        amount=Decimal("1.00"),
        at=shapes.meta().occurred_at,
        day=date(2026, 1, 1),
        color=shapes.Color.RED,
        again=shapes.Color.RED,
    )
    with pytest.raises(BadValue):
        CODEC.event(shapes.meta(), msgspec.structs.replace(good, **change))


def test_an_envelope_with_a_wrong_id_is_never_written() -> None:
    with pytest.raises(BadValue):
        CODEC.event(shapes.meta(body_hash=b"short"), shapes.Empty())
