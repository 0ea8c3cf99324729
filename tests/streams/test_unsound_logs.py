"""Tests damaged bytes in the log: their partition stops, is named, and goes on once it is restored."""

import pytest

from refold.streams import standing
from refold.streams.errors import LogCorrupt
from refold.streams.kafka import clients, stopped_places
from refold.streams.log.continuity import check_continuity
from refold.streams.log.history import History
from refold.streams.log.topics import events_topic
from refold.streams.operation.claims_ahead import waiting
from refold.streams.operation.lag import Lag
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS, append, claimed, fold_all, prepare
from tests.streams.flipped import flip, segment
from tests.streams.logs import claim
from tests.streams.test_core import BASKET, basket
from tests.streams.test_reader import Reading, reading, until

FILLER = b"x" * 2000
"""After a wrong checksum librdkafka reads on at a place within what it fetched. Whatever stands there must look like no batch."""


def values(found: Reading) -> list[bytes | None]:
    return [value.removesuffix(FILLER) if value else value for chunk in found.chunks for value in chunk.values]


@pytest.mark.usefixtures("servers")
def test_a_flipped_bit_stops_its_partition_alone_and_a_restored_log_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stopped_places, "AGAIN_S", 0.3)
    prepare(settings)
    topic = events_topic(settings.topic_prefix, BASKET)
    for batch in range(4):
        append(settings, BASKET, 0, [(b"k", b"%d of %d" % (i, batch) + FILLER) for i in range(5)])
    written = [b"%d of %d" % (i, batch) for batch in range(4) for i in range(5)]
    flip(segment(topic, 0), 10)
    with reading(settings) as found:
        until(lambda: standing.waits_longest() is not None, "nothing is said to stand")
        waits = standing.waits_longest()
        assert waits is not None
        assert waits[1].startswith(f"log-corrupt: {topic}/0 cannot be read from offset 10 on")
        assert values(found) == written[:10]
        append(settings, BASKET, 1, [(b"k", b"elsewhere")])
        until(lambda: b"elsewhere" in values(found), "the other partition stands, too")
        append(settings, BASKET, 0, [(b"k", b"later")])
        assert found.reader.position(found.place) == 10
        flip(segment(topic, 0), 10)
        until(lambda: b"later" in values(found), "it does not go on")
        assert [value for value in values(found) if value != b"elsewhere"] == [*written, b"later"]
        until(lambda: standing.waits_longest() is None, "what has gone on is said to stand")
    assert [record.levelname for record in caplog.records if "log-corrupt" in record.message] == ["ERROR"]


@pytest.mark.usefixtures("servers")
def test_a_partition_whose_reader_is_sought_elsewhere_reads_on_from_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopped_places, "AGAIN_S", 60.0)
    prepare(settings)
    topic = events_topic(settings.topic_prefix, BASKET)
    for batch in range(3):
        append(settings, BASKET, 0, [(b"k", b"%d of %d" % (i, batch) + FILLER) for i in range(5)])
    flip(segment(topic, 0), 5)
    with reading(settings) as found:
        until(lambda: standing.waits_longest() is not None, "nothing is said to stand")
        found.reader.seek(found.place, 10)
        until(lambda: b"4 of 2" in values(found), "it does not read where it was sent")
        until(lambda: standing.waits_longest() is None, "what has gone on is said to stand")


@pytest.mark.usefixtures("servers")
def test_corrupt_events_are_named_by_whoever_reads_them(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    prepare(settings)
    topic = events_topic(settings.topic_prefix, BASKET)
    append(settings, BASKET, 0, [claimed(claim("A", 1)), *basket("A", 0, "s")])
    fold_all(settings)
    flip(segment(topic, 0), 4)
    history = History(settings.kafka_servers(), settings.topic_prefix, DOMAINS)
    with pytest.raises(LogCorrupt, match=f"{topic}/0 cannot be read from offset"):
        history.values(BASKET, [(0, 4)])
    history.close()
    with connect(settings.dsn(), application_name="test") as db:
        check_continuity(settings, DOMAINS, db)
    assert "It is unknown whether this is the log that was folded" in caplog.text
    lag = Lag("core", topic, 0, 4, 5, 1, None)
    assert waiting(settings.kafka_servers(), [lag]) == []


def test_each_consumer_of_librdkafka_checks_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(clients, "Consumer", lambda config, **_: asked.append(config))
    clients.consumer("127.0.0.1:9")
    assert asked[0]["check.crcs"] is True
