"""Tests the lag: records against the log's end, seconds by the broker's clock."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from refold.streams.errors import KafkaUnavailable
from refold.streams.kafka import clients as kafka
from refold.streams.operation.lag import Lag, LagReader, lags, worst
from refold.streams.settings import Settings
from tests.streams.broker import DOMAINS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENDS = {("t", 0): 10, ("t", 1): 5}


def test_behind_caught_up_and_never_seen() -> None:
    rows = [("core", "t", 0, 7, NOW - timedelta(seconds=4)), ("core", "t", 1, 5, NOW - timedelta(hours=1))]
    found = {(lag.group, lag.part): (lag.records, lag.seconds) for lag in lags(rows, ENDS, NOW)}
    assert found == {("core", 0): (3, 4.0), ("core", 1): (0, 0.0), ("models", 0): (10, None), ("models", 1): (5, None)}


def test_builds_are_shown_and_topics_of_others_are_not() -> None:
    rows = [("build:3", "t", 0, 2, None), ("core", "other", 0, 2, None)]
    assert {lag.group for lag in lags(rows, ENDS, NOW)} == {"build:3", "core", "models"}
    assert {lag.topic for lag in lags(rows, ENDS, NOW)} == {"t"}


def test_a_position_read_after_the_end_is_no_negative_lag() -> None:
    assert lags([("core", "t", 0, 12, NOW)], {("t", 0): 10}, NOW)[0].records == 0


def test_the_worst_of_a_group() -> None:
    found = [
        Lag("core", "t", 0, 7, 10, 3, 4.0),
        Lag("core", "t", 1, 5, 9, 4, 1.0),
        Lag("models", "t", 0, 0, 10, 10, None),
    ]
    assert worst(found, "core") == (7, 4.0)
    assert worst(found, "models") == (10, 0.0)


class Client:
    """A client that answers all, or nothing."""

    def __init__(self, problem: int | None = None) -> None:
        self.problem, self.closed = problem, False

    def offsets_for_times(self, places: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        assert timeout == 5.0
        assert {place.offset for place in places} == {-1}, "as a time, the end"
        if self.problem is not None:
            raise KafkaException(KafkaError(self.problem))
        return [TopicPartition(place.topic, place.partition, 7) for place in places]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Client]:
    """Those that are made, in order."""
    found: list[Client] = []
    monkeypatch.setattr(kafka, "consumer", lambda _, **__: found.pop(0))
    return found


@pytest.fixture
def reader() -> LagReader:
    return LagReader(Settings(kafka="nowhere:9"), DOMAINS)


def test_what_a_client_remembers_of_a_broker_that_was_started_again_is_no_broker_that_is_away(
    clients: list[Client], reader: LagReader
) -> None:
    old = Client(KafkaError.FENCED_LEADER_EPOCH)
    clients += [old, Client()]
    assert set(reader.ends().values()) == {7}
    assert (clients, set(reader.ends().values())) == ([], {7}), "the new client is kept"
    assert old.closed


def test_a_client_whose_broker_is_away_is_not_asked_again(clients: list[Client], reader: LagReader) -> None:
    clients += [Client(KafkaError._TIMED_OUT)]
    with pytest.raises(KafkaUnavailable, match="where its topics end: KafkaError"):
        reader.ends()
