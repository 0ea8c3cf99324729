"""A steady load of baskets with known totals; every failed command is sent again under its id."""

import threading
import time
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import NAMESPACE_URL, UUID, uuid5

from refold.retail.schemas.basket import OpenBasket, PayBasket, ScanItem
from refold.schemas.contracts import Command
from refold.streams.domain import Domains
from refold.streams.errors import DeliveryFailed, QueueFull
from refold.streams.sending.producer import Producer
from refold.streams.settings import Settings

LINES = 6


@dataclass
class Load:
    """Baskets 0 … n - 1; every seventh line has quantity 0 and is refused."""

    settings: Settings
    domains: Domains
    per_second: float
    sent: int = 0
    batch: int = 20
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    problems: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Send on, from the basket after the last."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sending; returns once all that was sent is acknowledged."""
        self._stop.set()
        assert self._thread is not None
        self._thread.join(120)
        assert not self._thread.is_alive(), "the load did not end"

    def _run(self) -> None:
        with Producer(
            self.settings.kafka_servers(), self.settings.topic_prefix, self.domains, timeout_s=60
        ) as producer:
            while not self._stop.is_set():
                began, first = time.monotonic(), self.sent
                for basket in range(first, first + self.batch):
                    self._basket(producer, basket)
                self._acknowledged(producer, first)
                self.sent += self.batch
                self._stop.wait(max(0.0, self.batch / self.per_second - (time.monotonic() - began)))

    def _acknowledged(self, producer: Producer, first: int) -> None:
        """Flush; what was not acknowledged is sent again, ids and all, until it is."""
        while True:
            try:
                return producer.flush(90)
            except DeliveryFailed as problem:
                self.problems.append(problem.message)
                for basket in range(first, first + self.batch):
                    self._basket(producer, basket)

    def _basket(self, producer: Producer, basket: int) -> None:
        for n, command in enumerate(commands(basket)):
            self._send(producer, command, uuid5(NAMESPACE_URL, f"{basket}/{n}"))

    @staticmethod
    def _send(producer: Producer, command: Command, command_id: UUID) -> None:
        while True:
            try:
                return producer.send(command, command_id=command_id)
            except QueueFull:
                time.sleep(0.05)


def commands(basket: int) -> list[Command]:
    """Open, six lines, pay."""
    name = f"load-{basket}"
    lines = [
        ScanItem(
            basket_id=name,
            product_id=line,
            quantity=(basket + line) % 7,
            amount=Decimal(basket % 50 + line).scaleb(-1).quantize(Decimal("0.01")),
            discount=Decimal("0.01"),
        )
        for line in range(LINES)
    ]
    opening = OpenBasket(basket_id=name, store_id=basket % 9, household_id=household(basket))
    return [opening, *lines, PayBasket(basket_id=name)]


@dataclass(frozen=True)
class Expected:
    """What the load comes to; points by household, as its reactor gives them."""

    commands: int
    lines: int
    refused: int
    revenue: Decimal
    points: dict[str, tuple[int, int]]


def expected(baskets: int) -> Expected:
    """The oracle: the same rules over the same numbers, in ten lines."""
    items = [c for b in range(baskets) for c in commands(b) if isinstance(c, ScanItem)]
    sold = [c for c in items if c.quantity >= 1]
    revenue = sum((c.amount for c in sold), Decimal(0))
    return Expected(baskets * (LINES + 2), len(sold), len(items) - len(sold), revenue, points(baskets))


def household(basket: int) -> str:
    return f"h-{basket % 11}"


def points(baskets: int) -> dict[str, tuple[int, int]]:
    """Baskets that earned points, and the points, of each household."""
    found: dict[str, tuple[int, int]] = {}
    for basket in range(baskets):
        lines = [c for c in commands(basket) if isinstance(c, ScanItem) and c.quantity >= 1]
        if earned := int(sum(c.amount for c in lines)):
            number, before = found.get(household(basket), (0, 0))
            found[household(basket)] = (number + 1, before + earned)
    return found
