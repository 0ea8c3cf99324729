"""Beyond each bound of the API there is 429 or 503 with a time to come back, and never memory."""

import asyncio
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from refold.api.http import batch_line, limited
from refold.api.http.batch_text import LineSplitter
from refold.api.http.outcomes import MAX_WAITERS
from refold.api.http.server import MAX_CONNECTIONS
from refold.streams.errors import QueueFull

COMMAND = "/v1/commands/retail/basket/ScanItem"
GOOD = {"basket_id": "b1", "product_id": 5, "quantity": 1, "amount": "1.10", "discount": "0.00"}


def test_a_full_producer_is_503_with_a_time_to_come_back(client: TestClient[Litestar], world: Any) -> None:
    world.append_error = QueueFull("full")
    answer = client.post(COMMAND, json=GOOD, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "queue-full", "2")


def test_so_many_requests_at_once_and_the_next_is_429(
    app: Litestar, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited, "MAX_AT_ONCE", 3)
    world.decides = False

    async def main() -> list[httpx.Response]:
        served: Any = app  # httpx and Litestar name the same protocol differently
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://refold") as api:
            sent = [api.post(COMMAND, json=GOOD, headers={"Idempotency-Key": str(n)}) for n in range(3)]
            waiting = [asyncio.ensure_future(one) for one in sent]
            await asyncio.sleep(0.05)
            beyond, probe = await api.get("/v1/retail/store_daily"), await api.get("/livez")
            return [beyond, probe, *await asyncio.gather(*waiting), await api.get("/v1")]

    beyond, probe, *admitted, after = asyncio.run(main())
    assert (beyond.status_code, beyond.json()["code"], beyond.headers["retry-after"]) == (429, "too-many-waiting", "1")
    assert beyond.headers["content-type"] == "application/problem+json"
    assert (probe.status_code, {one.status_code for one in admitted}, after.status_code) == (200, {202}, 200)


def test_the_bounds_are_one_below_the_other() -> None:
    """So that a waiter is told 429 by us before the server under us hangs up."""
    assert MAX_WAITERS < limited.MAX_AT_ONCE < MAX_CONNECTIONS


def test_a_line_without_end_holds_no_more_than_a_line_may() -> None:
    splitter = LineSplitter()
    for _ in range(50):
        assert list(splitter.feed(b"x" * 100_000)) == []
        assert len(splitter._rest) <= batch_line.MAX_LINE_BYTES + 1
    ((number, text),) = next(splitter.end())
    assert (number, len(text)) == (1, batch_line.MAX_LINE_BYTES + 1)
