"""Measures Python's `eventsourcing` on the same Postgres: a process saves baskets of about ten events, a call each."""

import os
import time
from decimal import Decimal
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict

from benchmarks.year import fresh_database

_DATABASE = "bench_rival"
_LINES = 8


class Basket(Aggregate):
    """A basket as that library's documentation would write one."""

    @event("Opened")
    def __init__(self, store_id: int, household_id: str) -> None:
        self.store_id, self.household_id = store_id, household_id
        self.lines, self.total, self.paid, self.last_product = 0, Decimal(0), False, 0

    @event("ItemScanned")
    def scan(self, product_id: int, quantity: int, amount: Decimal) -> None:
        self.lines += 1
        self.last_product = product_id
        self.total += amount * quantity

    @event("Paid")
    def pay(self) -> None:
        self.paid = True


def appended_per_s(url: str, seconds: float) -> float:
    """Events per second that the library appends, checks and commits, after a second of warming up."""
    app: Application[UUID] = Application(env=_environment(fresh_database(url, _DATABASE)))
    try:
        _append(app, 1.0)
        began = time.perf_counter()
        events = _append(app, seconds)
        return events / (time.perf_counter() - began)
    finally:
        app.close()


def _append(app: Application[UUID], seconds: float) -> int:
    events, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        basket = Basket(330, "900")
        for line in range(_LINES):
            basket.scan(1_000_000 + line, 1, Decimal("2.99"))
        basket.pay()
        app.save(basket)
        events += _LINES + 2
    return events


def _environment(url: str) -> dict[str, str]:
    found = conninfo_to_dict(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(found["dbname"]),
        "POSTGRES_HOST": str(found.get("host", "127.0.0.1")),
        "POSTGRES_PORT": str(found.get("port", "5432")),
        "POSTGRES_USER": str(found.get("user", "")),
        "POSTGRES_PASSWORD": str(found.get("password", "") or os.environ.get("PGPASSWORD", "")),
    }
