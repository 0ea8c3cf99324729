"""How far behind: records against the log's end, seconds by the broker's clock."""

from collections.abc import Iterable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from refold.streams import kafka
from refold.streams.errors import KafkaUnavailable
from refold.streams.lag import Lag, LagReader, lags, worst
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


class Admin:
    """A client that answers all, or nothing."""

    def __init__(self, problem: int | None = None, *, silent: bool = False) -> None:
        self.problem, self.silent = problem, silent

    def list_offsets(self, places: Iterable[TopicPartition], **_: object) -> dict[TopicPartition, "Future[Any]"]:
        return {place: self._answer() for place in places}

    def _answer(self) -> "Future[Any]":
        found: Future[Any] = Future()
        if self.silent:
            found.set_exception(TimeoutError())
        elif self.problem is not None:
            found.set_exception(KafkaException(KafkaError(self.problem)))
        else:
            found.set_result(SimpleNamespace(offset=7))
        return found


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Admin]:
    """Those that are made, in order."""
    found: list[Admin] = []
    monkeypatch.setattr(kafka, "admin", lambda _: found.pop(0))
    return found


@pytest.fixture
def reader() -> LagReader:
    return LagReader(Settings(kafka="nowhere:9"), DOMAINS)


def test_what_a_client_remembers_of_a_broker_that_was_started_again_is_no_broker_that_is_away(
    clients: list[Admin], reader: LagReader
) -> None:
    clients += [Admin(KafkaError.FENCED_LEADER_EPOCH), Admin()]
    assert set(reader.ends().values()) == {7}
    assert (clients, set(reader.ends().values())) == ([], {7}), "the new client is kept"


def test_a_client_whose_broker_is_away_is_not_asked_again(clients: list[Admin], reader: LagReader) -> None:
    clients += [Admin(KafkaError._TRANSPORT), Admin(silent=True)]
    with pytest.raises(KafkaUnavailable, match="where its topics end: KafkaError"):
        reader.ends()
    with pytest.raises(KafkaUnavailable, match="where its topics end: no answer within 5 s"):
        reader.ends()
