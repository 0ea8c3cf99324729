"""Tests that a producer keeps only number and reasons of failed deliveries until somebody asks."""

import asyncio
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError, KafkaException

from refold.retail.schemas.basket import OpenBasket
from refold.schemas.errors import BadValue
from refold.streams.errors import CommandTooLarge, DeliveryFailed
from refold.streams.kafka import clients as kafka
from refold.streams.sending.command_record import CommandRecord
from refold.streams.sending.producer import Producer
from tests.streams.broker import DOMAINS

NOWHERE = "127.0.0.1:9"
SENT = 50


def test_failures_that_nobody_asks_for_take_no_memory_and_are_all_told_in_the_end() -> None:
    producer = Producer(NOWHERE, "", DOMAINS, timeout_s=0.3)
    for number in range(SENT):
        producer.send(OpenBasket(basket_id=f"b{number}", store_id=1), command_id=uuid4())
    until = time.monotonic() + 60
    while producer._failed.total() < SENT and time.monotonic() < until:
        time.sleep(0.05)
    assert (producer._failed.total(), len(producer._failed)) == (SENT, 1)
    with pytest.raises(DeliveryFailed, match=f"^{SENT} commands were not acknowledged: retail.basket.commands: "):
        producer.flush(60)
    producer.close()


def test_an_on_delivery_that_raises_keeps_no_report_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    producer, told = Producer(NOWHERE, "", DOMAINS, timeout_s=0.3), threading.Event()

    def fail(_: DeliveryFailed | None) -> None:
        raise ValueError("a caller's own")

    producer.send(OpenBasket(basket_id="a", store_id=1), command_id=uuid4(), on_delivery=fail)
    until = time.monotonic() + 60
    while "a caller's own" not in caplog.text and time.monotonic() < until:
        time.sleep(0.05)
    producer.send(OpenBasket(basket_id="b", store_id=1), command_id=uuid4(), on_delivery=lambda _: told.set())
    assert told.wait(60), "the thread that reports is gone"
    assert "a caller's own" in caplog.text
    producer.close()


def test_an_acknowledgement_that_nobody_waits_for_any_more_keeps_none_from_the_next_loop() -> None:
    """A caller who gave up, and whose loop is closed when Kafka answers."""
    producer = Producer(NOWHERE, "", DOMAINS, timeout_s=1.5)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await producer.send_acked(OpenBasket(basket_id="a", store_id=1), command_id=uuid4())

    async def wait() -> None:
        with pytest.raises(DeliveryFailed):
            async with asyncio.timeout(60):
                await producer.send_acked(OpenBasket(basket_id="b", store_id=1), command_id=uuid4())

    asyncio.run(give_up())
    until = time.monotonic() + 60
    while len(producer._client) and time.monotonic() < until:
        time.sleep(0.05)
    asyncio.run(wait())
    producer.close()


class Ended:
    """A client that has met an error."""

    def __init__(self, code: int, *, fatal: bool) -> None:
        self.error = KafkaError(code, "the sequence is lost", fatal)

    def produce(self, *_: object, **__: object) -> None:
        raise KafkaException(self.error)

    def poll(self, seconds: float) -> None:
        time.sleep(seconds)

    def flush(self, _: float) -> int:
        return 1


@pytest.mark.parametrize(
    ("code", "flagged", "fatal"),
    [
        (KafkaError._FATAL, False, True),  # as produce() raises it: the flag is not set
        (KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, True, True),  # as a delivery reports it
        (KafkaError._UNKNOWN_TOPIC, False, False),
    ],
)
def test_a_client_that_takes_no_record_is_said_in_our_words(code: int, *, flagged: bool, fatal: bool) -> None:
    """Over HTTP that is a 503 for each sender, and an answer for each line of a batch, not an internal error."""
    producer = Producer(NOWHERE, "", DOMAINS, timeout_s=0.3)
    ended: Any = Ended(code, fatal=flagged)
    producer._client = ended
    with pytest.raises(DeliveryFailed, match="the sequence is lost"):
        producer.send(OpenBasket(basket_id="b", store_id=1), command_id=uuid4())
    assert (producer._client is not ended) == fatal, "after a fatal error none is taken for ever"
    if fatal:
        producer.send(OpenBasket(basket_id="b", store_id=1), command_id=uuid4())
    with pytest.raises(DeliveryFailed, match=f"^{1 + fatal} commands were not acknowledged"):
        producer.close()


NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - what is refused
LATE = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2)))


@pytest.mark.parametrize("moment", [NAIVE, LATE])
def test_a_time_that_means_nothing_in_utc_is_refused(moment: datetime) -> None:
    """It was taken for a time of the machine's own zone."""
    producer = Producer(NOWHERE, "", DOMAINS, timeout_s=0.3)
    with pytest.raises(BadValue) as refused:
        producer.send(OpenBasket(basket_id="b", store_id=1), command_id=uuid4(), occurred_at=moment)
    assert refused.value.field == "$.occurred_at"
    producer.close()


@pytest.mark.parametrize(("takes", "made"), [(1 << 20, 0), (2000, 1)])
def test_records_that_are_too_large_make_no_client_each(monkeypatch: pytest.MonkeyPatch, takes: int, made: int) -> None:
    """One more, once, where the topic takes less than a batch of ours."""
    clients: list[Any] = []
    asked: list[str] = []
    new_client = kafka.producer

    def counted(servers: str, **given: Any) -> Any:
        clients.append(given)
        return new_client(servers, **given)

    def largest(_: object, topic: str, __: float) -> int:
        asked.append(topic)
        return takes

    monkeypatch.setattr(kafka, "producer", counted)
    monkeypatch.setattr(kafka, "largest_batch", largest)
    producer = Producer(NOWHERE, "", DOMAINS)
    producer._sizes._clock = lambda: 0.0
    record = CommandRecord("retail.basket.commands", "b", bytes(1 << 20))
    for _ in range(100):
        problem = producer._failure(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), record, producer._client)
        assert isinstance(problem, CommandTooLarge)
        assert str(takes) in problem.message
    assert (len(clients) - 1, len(asked)) == (made, 1)
    assert clients[-1]["batch.size"] == min(takes, kafka.BATCH_BYTES)
    producer.close()
