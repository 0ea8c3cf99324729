"""Tests the settings of the topics that are made, on one broker and on a cluster."""

import pytest

from refold.streams.log.topics import FOR_EVER, new_topics
from refold.streams.settings import Settings

NAMES = ["retail.basket.commands", "retail.basket.events"]


@pytest.mark.parametrize(("brokers", "replicas", "least"), [(1, 1, None), (2, 2, None), (3, 3, "2"), (5, 3, "2")])
def test_two_of_three_replicas_acknowledge(brokers: int, replicas: int, least: str | None) -> None:
    found = new_topics(NAMES, Settings(), brokers)
    assert [topic.topic for topic in found] == [*NAMES, "refold.schemas"]
    assert {topic.replication_factor for topic in found} == {replicas}
    assert {topic.config.get("min.insync.replicas") for topic in found} == {least}


def test_logs_are_kept_for_ever_and_events_bear_the_broker_s_time() -> None:
    commands, events, schemas = new_topics(NAMES, Settings(), 1)
    for log in (commands, events):
        assert log.config.items() >= FOR_EVER.items()
        assert log.num_partitions == Settings().partitions
    assert "message.timestamp.type" not in commands.config
    assert events.config["message.timestamp.type"] == "LogAppendTime"
    assert (schemas.config["cleanup.policy"], schemas.num_partitions) == ("compact", 1)
