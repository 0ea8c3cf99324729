"""Tests when the reactors' sender makes its producer: ahead, and another one after a failure."""

from typing import Any
from unittest.mock import MagicMock

import pytest

from refold.streams.errors import DeliveryFailed, KafkaUnavailable
from refold.streams.reactors.sender import Sender


class Producers:
    """Makes producers that report each record's delivery at once."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.problem: DeliveryFailed | None = None

    def __call__(self) -> Any:
        producer = MagicMock()
        producer.queue.side_effect = lambda _, report: report(self.problem)
        self.made.append(producer)
        return producer


def test_a_sender_that_was_opened_sends_by_the_producer_that_it_made_ahead() -> None:
    make = Producers()
    sender = Sender(make)
    sender.open()
    assert len(make.made) == 1
    sender.send([MagicMock(), MagicMock()])
    assert (len(make.made), make.made[0].queue.call_count) == (1, 2)


def test_a_failure_that_is_reported_before_anyone_waits_is_raised_and_ends_the_producer() -> None:
    make = Producers()
    sender = Sender(make)
    make.problem = DeliveryFailed("away")
    with pytest.raises(KafkaUnavailable):
        sender.send([MagicMock()])
    make.made[0].discard.assert_called_once()
    make.problem = None
    sender.send([MagicMock()])
    assert len(make.made) == 2


def test_nothing_to_send_needs_no_producer() -> None:
    make = Producers()
    Sender(make).send([])
    assert make.made == []
