"""What a producer keeps of deliveries that failed, while nobody asks: their number and words, not each of them."""

import time
from uuid import uuid4

import pytest

from refold.schemas.retail.basket import OpenBasket
from refold.streams.errors import DeliveryFailed
from refold.streams.producer import Producer
from tests.streams.broker import DOMAINS

NOWHERE = "127.0.0.1:9"
SENT = 50


def test_failures_that_nobody_asks_for_take_no_memory_and_are_all_told_in_the_end() -> None:
    producer = Producer(NOWHERE, "", DOMAINS, timeout_s=0.3)
    for number in range(SENT):
        producer.send(OpenBasket(basket_id=f"b{number}", store_id=1), command_id=uuid4())
    until = time.monotonic() + 20
    while producer._failed.total() < SENT and time.monotonic() < until:
        time.sleep(0.05)
    assert (producer._failed.total(), len(producer._failed)) == (SENT, 1)
    with pytest.raises(DeliveryFailed, match=f"^{SENT} commands were not acknowledged: retail.basket.commands: "):
        producer.flush(5)
    producer.close()
