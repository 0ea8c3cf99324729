"""Tests logs that the core refuses to fold: shortened, replaced, trimmed, recreated, or kept by other rules."""

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from refold.streams.errors import LogShorter, LogTrimmed, TopicRecreated, WrongPartitions, WrongSettings
from refold.streams.kafka import clients
from refold.streams.log import topics
from refold.streams.log.continuity import check_continuity
from refold.streams.log.topics import check_topics, ensure_topics, events_topic
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS, append, claimed, fold_all, prepare
from tests.streams.logs import claim
from tests.streams.test_core import BASKET, basket


@pytest.mark.usefixtures("servers")
def test_a_log_that_lost_records_is_refused(settings: Settings) -> None:
    """Ends before the position, or another record lies where the last one was (S3)."""
    prepare(settings)
    append(settings, BASKET, 0, [claimed(claim("A", 1)), *basket("A", 0, "s")])
    fold_all(settings)
    with connect(settings.dsn(), application_name="test") as db:
        check_continuity(settings, DOMAINS, db)
        db.execute("UPDATE refold.claims SET last_hash = %s", (bytes(16),))
        with pytest.raises(LogShorter, match="not the one"):
            check_continuity(settings, DOMAINS, db)
        db.execute("UPDATE refold.positions SET next_offset = 99 WHERE part = 0 AND topic LIKE %s", ("%basket.events",))
        with pytest.raises(LogShorter, match="ends at 5"):
            check_continuity(settings, DOMAINS, db)


@pytest.mark.usefixtures("servers")
def test_topics_that_would_lose_events_are_refused(settings: Settings) -> None:
    """Wrong retention, another number of partitions, a topic made anew, a log that was trimmed."""
    prepare(settings)
    append(settings, BASKET, 0, [claimed(claim("A", 1)), *basket("A", 0, "s")])
    admin, topic = clients.admin(settings.kafka_servers()), events_topic(settings.topic_prefix, BASKET)

    def sets(name: str, value: str) -> None:
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for future in admin.incremental_alter_configs(
            [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]
        ).values():
            future.result()

    with connect(settings.dsn(), application_name="test") as db:
        sets("retention.ms", "1000000")
        with pytest.raises(WrongSettings, match=r"retention\.ms=1000000"):
            ensure_topics(settings, DOMAINS, db)
        sets("retention.ms", "-1")
        sets("max.message.bytes", "2000")
        check_topics(settings, DOMAINS, db)  # while it runs, what is too large is refused one by one
        sets("max.message.bytes", "1114112")
        with pytest.raises(WrongPartitions):
            ensure_topics(settings.model_copy(update={"partitions": 8}), DOMAINS, db)
        db.execute("UPDATE refold.topics SET topic_id = 'other' WHERE topic = %s", (topic,))
        with pytest.raises(TopicRecreated):
            ensure_topics(settings, DOMAINS, db)
        with pytest.raises(TopicRecreated, match="made again"):
            check_topics(settings, DOMAINS, db)
    for future in admin.delete_records([TopicPartition(topic, 0, 3)]).values():
        future.result()
    with pytest.raises(LogTrimmed):
        fold_all(settings)


@pytest.mark.usefixtures("servers")
def test_a_topic_that_was_deleted_is_not_made_anew(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_HEARSAY_S", 0.2)
    prepare(settings)
    admin, topic = clients.admin(settings.kafka_servers()), events_topic(settings.topic_prefix, BASKET)
    with connect(settings.dsn(), application_name="test") as db:
        ensure_topics(settings, DOMAINS, db)
        admin.delete_topics([topic])[topic].result()
        for ask in (check_topics, ensure_topics):
            with pytest.raises(TopicRecreated, match=f"the topic {topic}, which the tables were folded from, is gone"):
                ask(settings, DOMAINS, db)
    assert topic not in admin.list_topics(timeout=60).topics
