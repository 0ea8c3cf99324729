"""Tests reactors on a real log, killed, doubled, rewound or without servers: each basket's points are given once."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from confluent_kafka import TopicPartition

from benchmarks.log_writer import LogWriter
from benchmarks.receipts import Decided
from refold.retail.reactors import REACTORS
from refold.retail.schemas.basket import BASKET, BasketOpened, BasketPaid, ItemScanned
from refold.retail.schemas.household import HOUSEHOLD, AwardPoints
from refold.schemas.codec import Codec
from refold.schemas.contracts import Event
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import KafkaUnavailable, Lost
from refold.streams.kafka import clients
from refold.streams.kafka.log_reader import LogReader
from refold.streams.kafka.messages import records_of, watermarks
from refold.streams.kafka.partitioner import partition_of
from refold.streams.log.topics import commands_topic, events_topic
from refold.streams.reactors import fold as fold_module
from refold.streams.reactors.fold import ReactorsFold
from refold.streams.reactors.process import reactors_fold
from refold.streams.reactors.sender import Sender
from refold.streams.sending.producer import Producer
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS, fold_all, prepare, rows

CODEC = Codec(DOMAINS.catalog)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
Sent = list[tuple[str, AwardPoints]]


def baskets(numbers: Sequence[int]) -> list[Decided]:
    """Each opened, one line, paid; every fifth without a household; totals from 0.50 upwards."""
    found: list[Decided] = []
    for number in numbers:
        total = Decimal(number).quantize(Decimal("0.01")) + Decimal("0.50")
        household = None if number % 5 == 0 else f"h{number % 7}"
        events: list[Event] = [
            BasketOpened(store_id=1, household_id=household),
            ItemScanned(store_id=1, product_id=1, quantity=1, amount=total, discount=Decimal("0.00")),
            BasketPaid(store_id=1, lines=1, total=total),
        ]
        at = NOW + timedelta(seconds=number)
        found += [Decided(BASKET.name, f"b{number}", at, event) for event in events]
    return found


def expected(numbers: Sequence[int]) -> set[tuple[str, str, int]]:
    return {(f"h{n % 7}", f"b{n}", n) for n in numbers if n % 5 and n >= 1}


def sent(settings: Settings) -> Sent:
    """Every command of households in the log, with its id, in the order of each partition."""
    topic = commands_topic(settings.topic_prefix, HOUSEHOLD.name)
    client = clients.consumer(settings.kafka_servers())
    found: Sent = []
    for part in range(settings.partitions):
        _, end = watermarks(client, (topic, part))
        client.assign([TopicPartition(topic, part, 0)])
        values: list[bytes | None] = []
        while len(values) < end:
            values += [message.value() for message in records_of(client.consume(1000, 0.2))]
        for value in values:
            meta, command = CODEC.read_command(value)
            assert isinstance(command, AwardPoints)
            found.append((str(meta.command_id), command))
    client.close()
    return found


def named(found: Sent) -> set[tuple[str, str, int]]:
    return {(command.household_id, command.basket_id, command.points) for _, command in found}


def assert_once_each(settings: Settings, numbers: Sequence[int]) -> None:
    """Whatever was repeated: one id for each award, one award for each basket."""
    found = sent(settings)
    assert named(found) == expected(numbers)
    assert len({command_id for command_id, _ in found}) == len(expected(numbers))


@pytest.fixture
def log(settings: Settings) -> Settings:
    """Sixty baskets in the log, folded by the core."""
    prepare(settings)
    LogWriter(settings, DOMAINS).write(baskets(range(60)))
    fold_all(settings)
    reactors_fold(settings).close()
    return settings


def process(settings: Settings) -> ReactorsFold:
    """The fold as a process that starts makes it, once topics and tables are there."""
    sender = Sender(lambda: Producer(settings.kafka_servers(), settings.topic_prefix, DOMAINS))
    return ReactorsFold(settings, DOMAINS, REACTORS, sender)


def chunks(settings: Settings, fold: ReactorsFold) -> list[Chunk]:
    """All that follows the stored positions."""
    places = [(topic, part) for topic in fold.topics for part in range(settings.partitions)]
    reader = LogReader(settings.kafka_servers(), fold.stored(places), records=1000, keys=False)
    found: list[Chunk] = []
    ends = reader.ends()
    while any(reader.next[place] < end for place, end in ends.items()):
        found += reader.poll(1.0)
    reader.close()
    return found


def run(settings: Settings, *, most: int = 10**9) -> int:
    """A fresh process's fold over what follows its positions; how many records it was offered."""
    fold, offered = process(settings), 0
    try:
        for chunk in chunks(settings, fold):
            for start in range(chunk.start, chunk.end, 7):
                if offered >= most:
                    return offered
                part = chunk.since(start).upto(start + 7)
                assert fold.apply([part]) == {part.place: part.end}
                offered += len(part.values)
    finally:
        fold.close()
    return offered


def stands(settings: Settings, group: str) -> dict[Place, int]:
    return {
        (topic, part): at
        for topic, part, at in rows(
            settings,
            f"SELECT topic, part, next_offset FROM refold.positions WHERE grp = '{group}'"
            f" AND topic = '{events_topic(settings.topic_prefix, BASKET.name)}'",
        )
    }


def test_each_paid_basket_is_answered_once_and_the_second_run_sends_nothing(log: Settings) -> None:
    assert run(log) > 180
    assert_once_each(log, range(60))
    assert Counter(command_id for command_id, _ in sent(log)).most_common(1)[0][1] == 1
    assert stands(log, "reactors") == stands(log, "core")
    assert run(log) == 0
    assert len(sent(log)) == len(expected(range(60)))


def test_positions_lost_in_the_middle_everything_is_sent_again_under_the_same_ids(log: Settings) -> None:
    run(log, most=90)
    first = sent(log)
    assert 0 < len(first) < len(expected(range(60)))
    with psycopg.connect(log.dsn(), autocommit=True) as db:
        db.execute("DELETE FROM refold.positions WHERE grp = 'reactors'")
    run(log)
    assert len(sent(log)) == len(expected(range(60))) + len(first)
    assert_once_each(log, range(60))


def test_states_lost_too_or_alone_come_back_from_the_log(log: Settings) -> None:
    run(log, most=90)
    with psycopg.connect(log.dsn(), autocommit=True) as db:
        db.execute("UPDATE refold.reactor_states SET fingerprint = 'of other code', state = '{}'")
    run(log)
    assert_once_each(log, range(60))


@pytest.mark.parametrize("step", ["reactors.before-send", "reactors.after-send", "reactors.before-commit"])
def test_killed_before_its_commit_it_sends_the_same_again(
    log: Settings, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    chance, kills = random.Random(step), 0

    def killed(name: str) -> None:
        nonlocal kills
        if name == step and chance.random() < 0.3 and kills < 12:
            kills += 1
            raise Killed

    monkeypatch.setattr(fold_module, "failpoint", killed)
    for _ in range(20):
        try:
            run(log)
        except Killed:
            continue
        break
    assert kills >= 3
    assert_once_each(log, range(60))
    repeats = len(sent(log)) - len(expected(range(60)))
    assert repeats == 0 if step == "reactors.before-send" else repeats > 0


def test_two_at_once_cost_repeats_and_nothing_else(log: Settings) -> None:
    """Both answer the same chunk; whoever commits second finds the position moved, and all of its own rolled back."""
    one, two = process(log), process(log)
    for chunk in chunks(log, one):
        assert one.apply([chunk]) == {chunk.place: chunk.end}
        with pytest.raises(Lost):
            two.apply([chunk])
    for fold in (one, two):
        fold.close()
    assert len(sent(log)) == 2 * len(expected(range(60)))
    assert_once_each(log, range(60))


def test_never_past_the_core(settings: Settings) -> None:
    prepare(settings)
    LogWriter(settings, DOMAINS).write(baskets(range(20)))
    fold = reactors_fold(settings)
    for chunk in chunks(settings, fold):
        assert fold.apply([chunk]) == {chunk.place: 0}
    assert sent(settings) == []
    fold_all(settings)
    with psycopg.connect(settings.dsn(), autocommit=True) as db:
        db.execute("UPDATE refold.positions SET next_offset = next_offset - 3 WHERE grp = 'core'")
    core = stands(settings, "core")
    for chunk in chunks(settings, fold):
        assert fold.apply([chunk]) == {chunk.place: core[chunk.place]}
    fold.close()
    assert named(sent(settings)) < expected(range(20))


def test_a_zombies_records_are_not_answered(log: Settings) -> None:
    """A second writer's claim ends the first one's; what the first writes afterwards is void for reactors too."""
    zombie = LogWriter(log, DOMAINS)
    LogWriter(log, DOMAINS, epoch=2).write(baskets(range(100, 120)))
    zombie.write(baskets(range(200, 220)))  # claims with an epoch that is too small: nothing of it counts
    fold_all(log)
    assert rows(log, "SELECT sum(last_offset - first_offset + 1)::int FROM refold.voids")[0][0] >= 60
    run(log)
    assert_once_each(log, [*range(60), *range(100, 120)])


def test_an_event_that_cannot_be_read_parks_its_stream_until_it_can(log: Settings) -> None:
    """It counts, so it is not passed over: the stream waits, the others go on; read again from 0, it is tried again."""
    topic = events_topic(log.topic_prefix, BASKET.name)
    fold = process(log)
    for chunk in chunks(log, fold):
        values = list(chunk.values)
        if chunk.part == partition_of(b"b8", log.partitions):
            bad = next(
                n for n, v in enumerate(values) if v is not None and b"b8" in v and CODEC.read_event(v)[0].version == 1
            )
            values[bad] = _with_size(values[bad] or b"", b"\0")
        fold.apply([Chunk(chunk.topic, chunk.part, chunk.start, values)])
    fold.close()
    assert named(sent(log)) == expected(range(60)) - {("h1", "b8", 8)}
    parked = rows(log, "SELECT reactor, category, stream, part, code, waiting FROM refold.reactor_parked")
    assert parked == [("points", BASKET.name, "b8", partition_of(b"b8", log.partitions), "trailing", 2)]
    assert stands(log, "reactors") == stands(log, "core")
    with psycopg.connect(log.dsn(), autocommit=True) as db:
        db.execute("DELETE FROM refold.positions WHERE grp = 'reactors' AND topic = %s", (topic,))
    run(log)
    assert rows(log, "SELECT * FROM refold.reactor_parked") == []
    assert_once_each(log, range(60))


def _with_size(value: bytes, tail: bytes) -> bytes:
    """The value with bytes behind its body that its header counts."""
    longer = value + tail
    return longer[:5] + len(longer).to_bytes(4) + longer[9:]


def test_what_is_not_acknowledged_moves_no_position(log: Settings) -> None:
    """Kafka takes no command: nothing moves. It is back: the same fold goes on."""
    nowhere = ["127.0.0.1:1"]

    def producer() -> Producer:
        return Producer(nowhere[0], log.topic_prefix, DOMAINS, queue_records=5)

    fold = ReactorsFold(log, DOMAINS, REACTORS, Sender(producer))
    held = list(chunks(log, fold))
    chunk = max(held, key=lambda chunk: len(chunk.values))
    with pytest.raises(KafkaUnavailable):
        fold.apply([chunk])
    assert set(stands(log, "reactors").values()) == {0}
    nowhere[0] = log.kafka_servers()
    for chunk in held:
        assert fold.apply([chunk]) == {chunk.place: chunk.end}
    fold.close()
    assert_once_each(log, range(60))
