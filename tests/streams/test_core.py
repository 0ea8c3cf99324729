"""Tests the core on a real log and real tables: valid, void and hostile records, and a second fold from nothing."""

import json
import random
from copy import deepcopy
from decimal import Decimal

import psycopg
import pytest
from confluent_kafka import TopicPartition

from refold.retail.schemas.basket import BasketOpened, BasketPaid, ItemScanned
from refold.schemas.avro import schema_id
from refold.schemas.contracts import Event
from refold.schemas.identity import outcome_key
from refold.streams.chunk import Chunk
from refold.streams.errors import Lost
from refold.streams.kafka import clients
from refold.streams.log.topics import events_topic, schemas_topic
from refold.streams.settings import Settings
from tests.streams.broker import (
    CODEC,
    append,
    claimed,
    core,
    encoded,
    fold_all,
    fold_with,
    prepare,
    refused,
    rows,
    tables,
)
from tests.streams.logs import claim, group, named, record

BASKET = "retail.basket"
OPENED = BasketOpened(store_id=3)
SCANNED = ItemScanned(store_id=3, product_id=7, quantity=1, amount=Decimal("1.25"), discount=Decimal("0.00"))
PAID = BasketPaid(store_id=3, lines=1, total=Decimal("1.25"))


def basket(writer: str, seq: int, stream: str) -> list[tuple[bytes, bytes]]:
    """Four commands on one stream: opened, scanned, refused, paid."""
    events: list[Event] = [OPENED, SCANNED, PAID]
    records = [
        encoded(record(writer, seq + i, f"{stream}.{i}", stream, i, command_offset=seq + i), event)
        for i, event in enumerate(events)
    ]
    return [*records, refused(record(writer, seq + 3, f"{stream}.3", stream, 3, rejected=True, command_offset=seq + 3))]


def log_with_everything() -> list[tuple[bytes | None, bytes | None]]:
    """Valid groups, a zombie, a repeat, a gap, a cut group, and foreign bytes between them."""
    garbage: list[tuple[bytes | None, bytes | None]] = [
        (b"s", b"hello"),
        (b"s", None),
        (None, b"\x00" * 40),
        (b"", b""),
    ]
    valid = encoded(record("A", 4, "t.0", "t", 0), OPENED)
    return [
        claimed(claim("A", 1)),
        *basket("A", 0, "s"),
        garbage[0],
        valid,
        valid,
        encoded(record("Z", 0, "z", "s", 3), SCANNED),
        *garbage[1:],
        *[encoded(m, SCANNED) for m in group("A", 5, "t.1", "t", 1, 3)[:2]],
        claimed(claim("B", 2)),
        encoded(record("A", 7, "late", "t", 1), SCANNED),
        *basket("B", 0, "u"),
        encoded(record("B", 9, "gap", "u", 3), SCANNED),
        encoded(record("B", 4, "after", "u", 3), SCANNED),
        claimed(claim("C", 3)),
        *[encoded(m, SCANNED) for m in group("C", 0, "t.2", "t", 1, 4)],
    ]


@pytest.fixture(params=[0, 64], ids=["by columns", "by rows"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks go through the rows; without that, through the columns wherever those give a verdict."""
    monkeypatch.setattr("refold.streams.core.fold.FEW", request.param)


@pytest.mark.usefixtures("servers", "few")
def test_tables_are_the_fold_of_the_log(settings: Settings) -> None:
    """Versions, states, outcomes, voids and positions after a log with everything in it."""
    prepare(settings)
    append(settings, BASKET, 2, log_with_everything())
    stood = fold_all(settings)
    assert stood[events_topic(settings.topic_prefix, BASKET), 2] == len(log_with_everything())
    assert rows(settings, "SELECT stream, version FROM refold.streams ORDER BY 1") == [("s", 3), ("t", 5), ("u", 3)]
    states = dict(rows(settings, "SELECT stream, convert_from(state, 'UTF8') FROM refold.streams"))
    assert states["s"] == '{"status":"paid","store_id":3,"lines":1,"total":"1.25"}'
    assert '"lines":4' in states["t"]
    outcomes = rows(settings, "SELECT stream, command_id, code, base_version, events FROM refold.outcomes")
    assert len(outcomes) == 10
    assert ("s", named("s.3"), "no", 3, 0) in outcomes
    assert ("t", named("t.2"), None, 1, 4) in outcomes
    assert rows(settings, "SELECT epoch, next_seq, last_command_offset FROM refold.claims WHERE part = 2") == [
        (3, 4, 0)
    ]
    void = {
        o
        for first, last, _ in rows(settings, "SELECT first_offset, last_offset, reason FROM refold.voids")
        for o in range(first, last + 1)
    }
    assert void == {5, 7, 8, 9, 10, 11, 12, 13, 15, 20, 21}
    assert {r for (r,) in rows(settings, "SELECT reason FROM refold.voids")} == {"void", "foreign"}


@pytest.mark.usefixtures("servers", "few")
@pytest.mark.parametrize("chunk", [1, 7])
def test_chunk_sizes_and_a_dropped_database_change_nothing(settings: Settings, chunk: int) -> None:
    """Refolded from nothing, by other chunks: equal tables, outcomes included."""
    prepare(settings)
    append(settings, BASKET, 2, log_with_everything())
    fold_all(settings)
    before = tables(settings)
    with psycopg.connect(settings.dsn()) as db:
        db.execute("DROP SCHEMA refold CASCADE")
    prepare(settings)
    fold_all(settings, records=chunk)
    assert tables(settings) == before


@pytest.mark.usefixtures("servers")
def test_a_chunk_that_does_not_follow_the_position_changes_nothing(settings: Settings) -> None:
    """Compare-and-set on the chunk's own start: twice the same chunk, and one from elsewhere."""
    prepare(settings)
    append(settings, BASKET, 0, [claimed(claim("A", 1)), *basket("A", 0, "s")])
    fold_all(settings)
    before = tables(settings)
    fold, topic = core(settings), events_topic(settings.topic_prefix, BASKET)
    key, value = claimed(claim("A", 1))
    for start in (0, 3, 9):
        with pytest.raises(Lost):
            fold.apply([Chunk(topic, 0, start, [value], [key])])
    fold.close()
    assert tables(settings) == before


@pytest.mark.usefixtures("servers")
def test_an_open_group_is_not_passed(settings: Settings) -> None:
    """The position stays at the start of a group that is not whole; nothing of it shows."""
    prepare(settings)
    records = [encoded(m, SCANNED) for m in group("A", 1, "c", "s", 1, 3)]
    append(settings, BASKET, 0, [claimed(claim("A", 1)), encoded(record("A", 0, "o", "s", 0), OPENED), *records[:2]])
    place = events_topic(settings.topic_prefix, BASKET), 0
    assert fold_all(settings)[place] == 2
    assert rows(settings, "SELECT version FROM refold.streams") == [(1,)]
    append(settings, BASKET, 0, records[2:])
    assert fold_all(settings)[place] == 5
    assert rows(settings, "SELECT version FROM refold.streams") == [(4,)]


@pytest.mark.usefixtures("servers", "few")
def test_an_older_database_catches_up_to_the_same(settings: Settings) -> None:
    """Tables as they were at some earlier position (a restored dump) fold the rest to the same rows."""
    prepare(settings)
    append(settings, BASKET, 1, [claimed(claim("A", 1)), *basket("A", 0, "s")])
    fold_all(settings)
    early = tables(settings)
    append(settings, BASKET, 1, basket("A", 4, "t"))
    fold_all(settings)
    late = tables(settings)
    with psycopg.connect(settings.dsn()) as db:
        db.execute("DROP SCHEMA refold CASCADE")
    prepare(settings)
    fold_all(settings, records=random.Random(5).randint(1, 4))
    assert tables(settings) == late != early


@pytest.mark.usefixtures("servers")
def test_same_command_id_in_two_streams(settings: Settings) -> None:
    """Two outcomes: a command id is unique within its stream."""
    prepare(settings)
    append(
        settings,
        BASKET,
        0,
        [claimed(claim("A", 1)), *[encoded(record("A", i, "c", s, 0), OPENED) for i, s in enumerate("st")]],
    )
    fold_all(settings)
    keys = {bytes(k) for (k,) in rows(settings, "SELECT key FROM refold.outcomes")}
    assert keys == {outcome_key(BASKET, s, named("c").bytes) for s in "st"}


@pytest.mark.usefixtures("servers", "few")
@pytest.mark.parametrize("chunk", [1, 2, 5000])
def test_a_command_that_was_decided_before_counts_once(
    settings: Settings, chunk: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Right writer, seq and base, and yet the outcome is there: nobody asked for it, the table refuses it, and the rules decide."""
    prepare(settings)
    first, again = record("A", 0, "x", "s", 0), record("A", 1, "x", "s", 1, command_offset=1)
    append(settings, BASKET, 1, [claimed(claim("A", 1)), encoded(first, OPENED), encoded(again, SCANNED)])
    stood = fold_all(settings, records=chunk)
    assert stood[events_topic(settings.topic_prefix, BASKET), 1] == 3
    assert rows(settings, "SELECT stream, version FROM refold.streams") == [("s", 1)]
    assert rows(settings, "SELECT base_version, events, first_offset FROM refold.outcomes") == [(0, 1, 1)]
    assert rows(settings, "SELECT first_offset, last_offset, reason FROM refold.voids") == [(2, 2, "void")]
    assert ("decided before" in caplog.text) == (chunk != 5000)


@pytest.mark.usefixtures("servers")
def test_a_foreign_reader_sees_what_does_not_count(settings: Settings) -> None:
    """A plain consumer gets the zombie's record with the rest; only the voids say that it is none."""
    prepare(settings)
    zombie = encoded(record("Z", 0, "late", "s", 0), OPENED)
    append(settings, BASKET, 0, [claimed(claim("A", 1)), zombie, encoded(record("A", 0, "x", "s", 0), OPENED)])
    fold_all(settings)
    topic = events_topic(settings.topic_prefix, BASKET)
    reader = clients.consumer(settings.kafka_servers())
    reader.assign([TopicPartition(topic, 0, 0)])
    seen = [message.value() for message in reader.consume(3, 20)]
    reader.close()
    assert seen[1] == zombie[1]
    assert rows(settings, "SELECT version FROM refold.streams WHERE stream = 's'") == [(1,)]
    assert rows(settings, "SELECT first_offset, last_offset, reason FROM refold.voids") == [(1, 1, "void")]


@pytest.mark.usefixtures("servers")
def test_an_event_of_newer_code_counts_and_its_state_waits_for_that_code(settings: Settings) -> None:
    """In the log's schemas but not in the code: newer code folds the state. In neither: the stream is held. The rest goes on."""
    prepare(settings)
    newer = deepcopy(CODEC.catalog.latest(BasketOpened).schema)
    newer["name"] = "BasketWeighed"
    values = {
        "s": CODEC.event(record("A", 0, "c", "s", 0), OPENED),
        "u": CODEC.event(record("A", 1, "e", "u", 0), OPENED),
    }
    odd = {
        stream: value[:1] + number.to_bytes(4) + value[5:]
        for (stream, value), number in zip(values.items(), (schema_id(newer), 123456), strict=True)
    }
    append(
        settings,
        BASKET,
        0,
        [
            claimed(claim("A", 1)),
            *((stream.encode(), value) for stream, value in odd.items()),
            encoded(record("A", 2, "d", "t", 0), OPENED),
        ],
    )
    fold = core(settings)
    publisher = clients.producer(settings.kafka_servers())  # newer code, which begins after this core
    publisher.produce(schemas_topic(settings.topic_prefix), json.dumps(newer).encode(), str(schema_id(newer)).encode())
    assert publisher.flush(20) == 0
    fold_with(settings, fold)
    fold.close()
    found = rows(
        settings, "SELECT stream, version, state_fingerprint FROM refold.streams WHERE stream IN ('s', 'u') ORDER BY 1"
    )
    assert found == [("s", 1, "newer"), ("u", 1, "broken")]
    assert rows(settings, "SELECT version FROM refold.streams WHERE stream = 't'") == [(1,)]


@pytest.mark.usefixtures("servers")
def test_a_stale_fingerprint_is_refolded_from_the_log(settings: Settings) -> None:
    """A state folded by other code is not trusted: the stream's events are read again and folded anew."""
    prepare(settings)
    append(
        settings,
        BASKET,
        0,
        [
            claimed(claim("A", 1)),
            encoded(record("A", 0, "o", "s", 0), OPENED),
            encoded(record("A", 1, "p", "s", 1), SCANNED),
        ],
    )
    fold_all(settings)
    with psycopg.connect(settings.dsn()) as db:
        db.execute("UPDATE refold.streams SET state = '\\x7b7d', state_fingerprint = 'older'")
    append(settings, BASKET, 0, [encoded(record("A", 2, "q", "s", 2), SCANNED)])
    fold_all(settings)
    ((state,),) = rows(settings, "SELECT convert_from(state, 'UTF8') FROM refold.streams")
    assert state == '{"status":"open","store_id":3,"lines":2,"total":"2.50"}'
