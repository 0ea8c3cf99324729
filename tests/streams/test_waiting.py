"""A process that starts before Kafka answers waits for it, and says so only if it has to wait."""

import logging
from types import SimpleNamespace

import pytest

from refold.streams.errors import KafkaUnavailable
from refold.streams.log import waiting


@pytest.mark.parametrize(("tries", "told"), [(3, 0), (40, 1)], ids=["a moment without a leader", "a longer time"])
def test_a_moment_is_told_to_nobody_and_a_longer_time_once(
    tries: int, told: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, failures = [0.0], [KafkaUnavailable("no leader")] * tries

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    def ask() -> None:
        if failures:
            raise failures.pop()

    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
    with caplog.at_level(logging.WARNING):
        waiting.when_kafka_answers(ask)
    assert [record.getMessage() for record in caplog.records] == ["Kafka is away, waiting for it: no leader"] * told


def test_it_waits_no_longer_than_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    def ask() -> None:
        raise KafkaUnavailable("away")

    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
    with pytest.raises(KafkaUnavailable, match="away"):
        waiting.when_kafka_answers(ask, seconds=3)
    assert 3 < clock[0] < 4
