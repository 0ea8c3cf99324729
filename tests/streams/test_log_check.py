"""Tests log-check: it reads the whole log with today's readers, and names each fault by topic, partition and offset."""

import json

import pytest

from refold.api.cli import app as cli
from refold.api.cli import exits
from refold.retail.schemas.basket import BasketOpened
from refold.streams.chunk import Chunk
from refold.streams.log.check import LISTED, Found, LogCheck, Unread, check_log
from refold.streams.log.topics import commands_topic, events_topic
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS, append, claimed, encoded, prepare, refused
from tests.streams.logs import CATEGORY, claim, record

OPENED = BasketOpened(store_id=330)


def opened(seq: int, stream: str) -> tuple[bytes, bytes]:
    return encoded(record("a", seq, f"c{seq}", stream, 0, command_offset=seq), OPENED)


def of_another_schema(value: bytes, number: int = 123_456_789) -> bytes:
    return value[:1] + number.to_bytes(4) + value[5:]


def checked(*values: bytes | None, topic: str = events_topic("", CATEGORY), start: int = 0) -> Found:
    check = LogCheck("", DOMAINS, None)
    check.check(Chunk(topic, 0, start, values))
    return check.found


def test_good_records_are_counted_by_schema() -> None:
    rejected = refused(record("a", 1, "c1", "s1", 0, rejected=True, command_offset=1))[1]
    found = checked(claimed(claim("a", 1))[1], opened(0, "s1")[1], rejected, opened(2, "s2")[1])
    counts = {count.schema: (count.kind, count.records, count.fell_back) for count in found.schemas.values()}
    assert counts == {
        "refold.Claim": ("claim", 1, 0),
        "refold.Rejected": ("rejection", 1, 0),
        "retail.basket.BasketOpened": ("event", 2, 0),
    }
    assert (found.records, found.failed, found.listed) == (4, 0, [])


def test_what_cannot_be_read_is_named_with_its_reason() -> None:
    good = opened(0, "s1")[1]
    moved = good[:5] + (len(good) + 1).to_bytes(4) + good[9:] + b"\0"
    found = checked(good, good[:-1], of_another_schema(good), None, moved, start=100)
    assert [(one.offset, one.schema, one.reason) for one in found.in_order()] == [
        (101, "retail.basket.BasketOpened", "size"),
        (102, "id 123456789", "unknown-schema"),
        (103, "-", "null"),
        (104, "retail.basket.BasketOpened", "trailing"),
    ]
    assert found.failed == 4


def test_a_schema_of_another_topic_is_wrong_there() -> None:
    good = opened(0, "s1")[1]
    assert [one.reason for one in checked(good, topic=events_topic("", "retail.product")).listed] == ["wrong-topic"]
    command = checked(good, topic=commands_topic("", CATEGORY))
    assert [(one.reason, one.standing) for one in command.listed] == [("wrong-topic", "command")]
    assert command.failed == 0, "a broken command was answered by a rejection"


def test_many_are_counted_and_few_listed_but_each_partitions_first() -> None:
    found = Found()
    for part in range(3):
        for offset in range(100):
            found.add(Unread("t", part, offset, "-", "null", "event"))
    assert found.failed == 300
    assert len(found.listed) == LISTED + 2
    assert [one.offset for one in found.listed if one.part == 2] == [0]


@pytest.fixture
def log(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A log with a truncated record and one of an unknown schema, and the command line pointed at it."""
    prepare(settings)
    good = [opened(seq, f"s{seq}") for seq in range(5)]
    records = [claimed(claim("a", 1)), *good[:3], (b"s3", good[3][1][:-1]), (b"s4", of_another_schema(good[4][1]))]
    append(settings, CATEGORY, 1, records)
    append(settings, CATEGORY, 2, [claimed(claim("b", 1))])
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    return settings


@pytest.mark.usefixtures("servers")
def test_the_first_offset_that_fails_is_named(log: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    topic = events_topic(log.topic_prefix, CATEGORY)
    assert cli.run(["schemas", "log-check"]) == exits.DIFFERENT
    out, err = capsys.readouterr()
    assert f"{topic}/1@4: retail.basket.BasketOpened: size" in out
    assert f"{topic}/1@5: id 123456789: unknown-schema" in out
    assert f"2 events cannot be read, the first at {topic}/1@4." in err
    assert cli.run(["schemas", "log-check", "--json"]) == exits.DIFFERENT
    document = json.loads(capsys.readouterr().out)
    assert (document["records"], document["failed"], document["voids_known"]) == (7, 2, True)
    assert document["ratio_raw"] > 0
    assert cli.run(["schemas", "list", "--json"]) == exits.DONE
    listed = json.loads(capsys.readouterr().out)
    assert {row["in_log"] for row in listed} == {True}
    read_as = {row["name"]: row["read_as"] for row in listed if not row["written"]}
    assert read_as["BasketVoided"] == ["BasketAbandoned"]
    assert read_as["ProductRelabelled"] == ["ProductRebranded", "ProductRepacked"]


@pytest.mark.usefixtures("servers")
def test_what_the_core_found_not_to_count_is_no_failure(log: Settings) -> None:
    noted: list[tuple[int, int]] = []
    topic = events_topic(log.topic_prefix, CATEGORY)
    with connect(log.dsn(), application_name="test") as db:
        db.execute("INSERT INTO refold.voids VALUES (%s, 1, 4, 5, 'foreign')", (topic,))
        found = check_log(log, DOMAINS, db, lambda done, whole: noted.append((done, whole)))
    assert (found.failed, found.standings["void"], found.voids_known) == (0, 2, True)
    assert noted[-1] == (7, 7)
    without = check_log(log, DOMAINS, None, lambda *_: None)
    assert (without.failed, without.voids_known) == (2, False)
