"""Tests dump and restore: every record comes back as it was; a dump grows, goes on, and is checked byte by byte."""

import uuid
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from refold.streams.errors import LogShorter, LogTrimmed, TopicRecreated, WrongPartitions, WrongSettings
from refold.streams.kafka import clients
from refold.streams.kafka.raw_append import RawAppender
from refold.streams.log.continuity import check_continuity
from refold.streams.log.topics import check_topics, commands_topic, ensure_topics, events_topic, schemas_topic
from refold.streams.operation.dump.check import check_dump
from refold.streams.operation.dump.dump import dump_log
from refold.streams.operation.dump.errors import (
    DumpInUse,
    DumpOfAnother,
    DumpUnsound,
    FolderNotEmpty,
    LogInUse,
    LogNotEmpty,
)
from refold.streams.operation.dump.folder import MANIFEST, DumpFolder, Manifest
from refold.streams.operation.dump.restore import Restore
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS, append, claimed, fold_all, prepare
from tests.streams.logs import claim
from tests.streams.test_core import BASKET, basket

pytestmark = pytest.mark.usefixtures("servers")
Seen = list[tuple[str, int, int | None, int | None, bytes | None, bytes | None, object]]


def nothing(_: int, __: int) -> None:
    """No progress is shown."""


def topics_of(settings: Settings) -> list[str]:
    prefix = settings.topic_prefix
    named = [
        topic for name in DOMAINS.categories for topic in (commands_topic(prefix, name), events_topic(prefix, name))
    ]
    return [*named, schemas_topic(prefix)]


def everything(settings: Settings) -> Seen:
    """Every record of every topic, as a client of Kafka's sees it; names without the prefix."""
    found: Seen = []
    with closing(clients.consumer(settings.kafka_servers())) as client:
        there = client.list_topics(timeout=60).topics
        for topic in topics_of(settings):
            for part in sorted(there[topic].partitions) if topic in there else ():
                _, end = client.get_watermark_offsets(TopicPartition(topic, part), timeout=60)
                client.assign([TopicPartition(topic, part, 0)])
                read: list[int] = []
                while len(read) < end:
                    for record in client.consume(500, 0.1):
                        assert record.error() is None
                        _, millis = record.timestamp()
                        name = topic.removeprefix(settings.topic_prefix)
                        found.append(
                            (name, part, record.offset(), millis, record.key(), record.value(), record.headers())
                        )
                        read.append(record.offset() or 0)
    return found


@pytest.fixture
def odd(settings: Settings) -> Settings:
    """A log with events of many batches, and commands as only strangers write them."""
    prepare(settings)
    append(settings, BASKET, 0, [claimed(claim("A", 1)), *basket("A", 0, "s")])
    append(settings, BASKET, 1, [claimed(claim("B", 1)), *basket("B", 0, "t")])
    topic, value = commands_topic(settings.topic_prefix, BASKET), bytes(range(256)) * 40
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        producer = clients.producer(settings.kafka_servers(), **{"compression.type": codec})
        for number in range(40):
            headers: list[tuple[str, bytes | None]] = [("n", b"\xff"), ("n", None), ("ü", b"")] if number % 2 else []
            key = None if number % 3 else b"k"
            producer.produce(
                topic, value[number:], key, number % 2, timestamp=1_000 + 7_000_000 * (number % 5), headers=headers
            )
        producer.produce(topic, None, b"", 2, timestamp=1)
        producer.produce(topic, b"", b"\x00", 2, timestamp=1_900_000_000_000 // 10)
        producer.flush(20)
    return settings


@pytest.fixture
def elsewhere(odd: Settings) -> Settings:
    """The same Kafka under another prefix: as good as another one."""
    return odd.model_copy(update={"topic_prefix": f"r{uuid.uuid4().hex[:10]}."})


def dumped(settings: Settings, root: Path) -> Manifest:
    return dump_log(settings, DOMAINS, root, nothing)


def restored(settings: Settings, root: Path, *, replace: bool = False) -> None:
    restore = Restore(settings, root)
    restore.execute(restore.plan(replace=replace), nothing)


def test_what_is_restored_is_what_was_there(odd: Settings, elsewhere: Settings, tmp_path: Path) -> None:
    """Offsets, times, keys (none, empty), values (none, empty), headers; in every compression."""
    found = dumped(odd, tmp_path / "dump")
    assert check_dump(tmp_path / "dump", nothing) == found
    restored(elsewhere, tmp_path / "dump")
    before = everything(odd)
    assert everything(elsewhere) == before
    assert len(before) == found.records > 200
    with connect(odd.dsn(), application_name="test") as db:
        db.execute("TRUNCATE refold.topics")
        ensure_topics(elsewhere, DOMAINS, db)  # the topics have the settings of those that were made here
        check_topics(elsewhere, DOMAINS, db)
    append(elsewhere, BASKET, 0, [claimed(claim("A", 9))])
    stamp = everything(elsewhere)
    assert max(millis or 0 for name, *_, millis, _, _, _ in stamp if name.endswith(".events")) >= max(
        millis or 0 for name, *_, millis, _, _, _ in before if name.endswith(".events")
    )


def test_a_dump_grows_and_a_restored_log_goes_on_in_the_same_folder(
    odd: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    first = dumped(odd, tmp_path)
    append(odd, BASKET, 0, basket("A", 3, "u"))
    told: list[tuple[int, int]] = []
    second = dump_log(odd, DOMAINS, tmp_path, lambda done, whole: told.append((done, whole)))
    assert second.records > first.records
    assert told[-1] == (second.records - first.records,) * 2, "what was there is not counted as read"
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.log")} == {0o600}
    assert {(each.topic, each.part): each.segments[0] for each in first.partitions if each.segments}.items() <= {
        (each.topic, each.part): each.segments[0] for each in second.partitions if each.segments
    }.items()
    restored(elsewhere, tmp_path)
    append(elsewhere, BASKET, 1, basket("B", 3, "v"))
    third = dumped(elsewhere, tmp_path)
    assert third.records > second.records
    check_dump(tmp_path, nothing)
    with pytest.raises(LogShorter, match="was dumped up to"):
        dumped(odd, tmp_path)
    append(odd, BASKET, 1, basket("B", 3, "w"))
    with pytest.raises(DumpOfAnother, match="is not the one that was dumped"):
        dumped(odd, tmp_path)


def test_a_dump_that_was_broken_off_goes_on_from_its_last_sound_batch(odd: Settings, tmp_path: Path) -> None:
    whole = dumped(odd, tmp_path)
    (tmp_path / MANIFEST).unlink()
    files = sorted(tmp_path.rglob("*.log"))
    files[0].write_bytes(files[0].read_bytes()[:-7])
    files[1].write_bytes(b"")
    with pytest.raises(DumpUnsound, match="no dump into it has ended"):
        check_dump(tmp_path, nothing)
    again = dumped(odd, tmp_path)
    assert [(each.topic, each.part, each.end, each.records) for each in again.partitions] == [
        (each.topic, each.part, each.end, each.records) for each in whole.partitions
    ]
    check_dump(tmp_path, nothing)


def test_every_byte_of_a_dump_is_checked(odd: Settings, elsewhere: Settings, tmp_path: Path) -> None:
    dumped(odd, tmp_path)
    for path in [tmp_path / MANIFEST, *sorted(tmp_path.rglob("*.log"))]:
        sound = path.read_bytes()
        for at in {0, len(sound) // 2, len(sound) - 1}:
            path.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
            with pytest.raises(DumpUnsound):
                check_dump(tmp_path, nothing)
        path.write_bytes(sound[:-2])
        with pytest.raises(DumpUnsound):
            check_dump(tmp_path, nothing)
        path.write_bytes(sound)
    largest = max(tmp_path.rglob("*.log"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-8] + bytes(8))
    with pytest.raises(DumpUnsound, match="checksum"):
        restored(elsewhere, tmp_path)
    with connect(odd.dsn(), application_name="test") as db, pytest.raises(WrongSettings, match="is being restored"):
        ensure_topics(elsewhere, DOMAINS, db)


def test_topics_with_records_are_replaced_only_when_told(odd: Settings, tmp_path: Path) -> None:
    dumped(odd, tmp_path)
    before = everything(odd)
    restored(odd, tmp_path)  # it is there: compared, nothing written
    assert everything(odd) == before
    append(odd, BASKET, 0, basket("A", 3, "u"))
    with pytest.raises(LogNotEmpty, match=r"basket\.events \("):
        Restore(odd, tmp_path).plan(replace=False)
    restored(odd, tmp_path, replace=True)
    assert everything(odd) == before


def test_a_restore_that_was_killed_goes_on(
    odd: Settings, elsewhere: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any number of batches, and with an acknowledgement that was lost."""
    dumped(odd, tmp_path)
    append_ = RawAppender.append
    left = [3]

    def dying(self: RawAppender, place: tuple[str, int], batch: bytes) -> int | None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        base = append_(self, place, batch)
        return None if left[0] == 1 else base

    monkeypatch.setattr(RawAppender, "append", dying)
    for _ in range(50):
        try:
            restored(elsewhere, tmp_path)
            break
        except KeyboardInterrupt:
            left[0] = 3
            with (
                connect(odd.dsn(), application_name="test") as db,
                pytest.raises(WrongSettings, match="is being restored"),
            ):
                ensure_topics(elsewhere, DOMAINS, db)
    assert everything(elsewhere) == everything(odd)


def test_what_somebody_else_wrote_meanwhile_is_found(
    odd: Settings, elsewhere: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dumped(odd, tmp_path)
    append_ = RawAppender.append

    def beside(self: RawAppender, place: tuple[str, int], batch: bytes) -> int | None:
        append_(self, place, batch)
        return append_(self, place, batch)

    monkeypatch.setattr(RawAppender, "append", beside)
    with pytest.raises(LogInUse, match="somebody else writes"):
        restored(elsewhere, tmp_path)


@pytest.mark.parametrize(
    ("there", "is_taken"), [("meta.properties", False), ("lost+found", True), (".snapshot", True), ("lock", True)]
)
def test_only_a_folder_that_is_empty_or_holds_a_dump_is_dumped_into(there: str, is_taken: bool, tmp_path: Path) -> None:
    (tmp_path / there).touch()
    if is_taken:
        with DumpFolder(tmp_path).held():
            return
    refused = pytest.raises(FolderNotEmpty, match=r"holds meta\.properties, and no dump has begun in it")
    with refused, DumpFolder(tmp_path).held():
        pass
    assert [each.name for each in tmp_path.iterdir()] == [there]


def test_what_cannot_be_dumped_or_restored_is_refused(odd: Settings, elsewhere: Settings, tmp_path: Path) -> None:
    dumped(odd, tmp_path)
    with pytest.raises(WrongPartitions, match="are configured"):
        Restore(elsewhere.model_copy(update={"partitions": 8}), tmp_path).plan(replace=False)
    with DumpFolder(tmp_path).held(), pytest.raises(DumpInUse):
        dumped(odd, tmp_path)
    topic = events_topic(odd.topic_prefix, BASKET)
    admin = clients.admin(odd.kafka_servers())  # one that nobody holds any more answers nothing
    for future in admin.delete_records([TopicPartition(topic, 0, 3)]).values():
        future.result()
    with pytest.raises(LogTrimmed, match="begins at offset 3"):
        dumped(odd, tmp_path)


def test_a_restored_log_is_taken_for_the_one_that_was_folded(odd: Settings, tmp_path: Path) -> None:
    """Tables older than the log go on; tables that are newer, and another log, are refused by name."""
    dumped(odd, tmp_path / "old")
    append(odd, BASKET, 0, basket("A", 3, "u"))
    fold_all(odd)
    restored(odd, tmp_path / "old", replace=True)
    with connect(odd.dsn(), application_name="test") as db:
        db.execute("UPDATE refold.topics SET topic_id = 'of before'")
        db.execute("UPDATE refold.claims SET last_command_offset = -1")  # these events answer no command that is there
        with pytest.raises(LogShorter, match=r"was made again and ends at \d+, before offset"):
            ensure_topics(odd, DOMAINS, db)
        append(odd, BASKET, 0, basket("A", 3, "other"))
        with pytest.raises(TopicRecreated, match="is not the one that was folded"):
            ensure_topics(odd, DOMAINS, db)
        db.execute(
            "TRUNCATE refold.positions, refold.claims, refold.voids, refold.outcomes, refold.streams, refold.stream_offsets"
        )
    fold_all(odd)
    dumped(odd, tmp_path / "new")
    append(odd, BASKET, 0, basket("A", 6, "later"))
    restored(odd, tmp_path / "new", replace=True)
    append(odd, BASKET, 0, basket("A", 6, "later"))
    with connect(odd.dsn(), application_name="test") as db:
        db.execute("UPDATE refold.claims SET last_command_offset = -1")
    with connect(odd.dsn(), application_name="test") as db:
        before = db.execute("SELECT topic, topic_id FROM refold.topics ORDER BY 1").fetchall()
        ensure_topics(odd, DOMAINS, db)
        assert db.execute("SELECT topic, topic_id FROM refold.topics ORDER BY 1").fetchall() != before
        check_topics(odd, DOMAINS, db)
        check_continuity(odd, DOMAINS, db)
