"""Sends the demo's commands into the log, through the same class that any producer uses."""

import time
from collections.abc import Callable, Iterable
from uuid import uuid4

from refold.api.demo.commands import Wish
from refold.api.demo.progress import Advance
from refold.retail.schemas.basket import BASKET, VoidBasket
from refold.retail.schemas.household import RedeemCoupon
from refold.schemas.contracts import Category, Command
from refold.schemas.identity import outcome_key
from refold.streams.domain import load_domains
from refold.streams.errors import QueueFull
from refold.streams.kafka.partitioner import partition_of
from refold.streams.sending.producer import Producer
from refold.streams.settings import Settings

QUEUE_PAUSE_S = 0.02
SAY_EVERY = 500
# Longer than any restart of the broker. A command given up inside a basket would let its payment overtake it.
TIMEOUT_S = 600.0


def open_producer(settings: Settings) -> Producer:
    """A producer that waits for a broker that is away."""
    return Producer(
        settings.kafka_servers(), settings.topic_prefix, load_domains(settings.domains), timeout_s=TIMEOUT_S
    )


def send(producer: Producer, wishes: Iterable[Wish], advance: Advance) -> int:
    """Send every command, wait until the log has them all, and return their number. Raises DeliveryFailed."""
    sent = 0
    for wish in wishes:
        send_one(producer, wish)
        sent += 1
        if sent % SAY_EVERY == 0:
            advance(sent)
    producer.flush(TIMEOUT_S)
    advance(sent)
    return sent


def send_one(producer: Producer, wish: Wish) -> None:
    """Send one command; waits while the queue is full, so memory stays bounded."""
    while True:
        try:
            producer.send(wish.command, command_id=wish.command_id, occurred_at=wish.occurred_at)
        except QueueFull:
            time.sleep(QUEUE_PAUSE_S)
        else:
            return


def basket_marker(stream: str) -> VoidBasket:
    """A command that voids a basket that does not exist."""
    return VoidBasket(basket_id=stream, reason="marks a place in the log")


def household_marker(stream: str) -> RedeemCoupon:
    """A command that redeems a coupon of a campaign that nobody joined."""
    return RedeemCoupon(household_id=stream, campaign_id=0, coupon_upc=0)


def send_markers(
    producer: Producer, partitions: int, category: Category = BASKET, marker: Callable[[str], Command] = basket_marker
) -> list[bytes]:
    """Send one command into every partition of a category, and return the keys of their outcomes.

    A partition is decided in order, so a marker's outcome tells that everything before it is decided, retries included.
    Markers are rejected, so no read model sees them.
    """
    run, keys, left, tried = uuid4().hex, [], set(range(partitions)), 0
    while left:
        stream, command_id = f"demo-marker-{run}-{tried}", uuid4()
        tried += 1
        part = partition_of(stream.encode(), partitions)
        if part in left:
            left.remove(part)
            producer.send(marker(stream), command_id=command_id)
            keys.append(outcome_key(category.name, stream, command_id.bytes))
    producer.flush(TIMEOUT_S)
    return keys
