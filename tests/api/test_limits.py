"""Beyond each bound of the API the answer is 429 or 503 with a time to come back, and memory stays bounded."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from litestar import Litestar
from litestar.testing import TestClient

from refold.api.http.commands import batch_line
from refold.api.http.commands.batch_text import LineSplitter
from refold.api.http.commands.outcomes import MAX_WAITERS, Outcome
from refold.api.http.server import HANG_UP, server
from refold.api.http.wire import limited
from refold.streams.errors import QueueFull
from refold.streams.settings import Settings

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
    futures: list[asyncio.Future[Outcome]] = []

    @contextmanager
    def expected(_: bytes) -> Iterator["asyncio.Future[Outcome]"]:
        futures.append(asyncio.get_running_loop().create_future())
        yield futures[-1]

    monkeypatch.setattr(world, "expected", expected)

    async def main() -> list[httpx.Response]:
        served: Any = app  # httpx and Litestar name the same protocol differently
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://refold") as api:
            headers = {"Prefer": "wait=30"}
            sent = [api.post(COMMAND, json=GOOD, headers=headers | {"Idempotency-Key": str(n)}) for n in range(3)]
            waiting = [asyncio.ensure_future(one) for one in sent]
            async with asyncio.timeout(60):
                while len(world.appended) < 3:  # noqa: ASYNC110 - the requests are under way in this loop
                    await asyncio.sleep(0.01)
            beyond, probe = await api.get("/v1/retail/store_daily"), await api.get("/livez")
            for future, intent in zip(futures, world.appended, strict=True):
                future.set_result(world.outcome(intent))
            return [beyond, probe, *await asyncio.gather(*waiting), await api.get("/v1")]

    beyond, probe, *admitted, after = asyncio.run(main())
    assert (beyond.status_code, beyond.json()["code"], beyond.headers["retry-after"]) == (429, "too-many-waiting", "1")
    assert beyond.headers["content-type"] == "application/problem+json"
    assert (probe.status_code, {one.status_code for one in admitted}, after.status_code) == (200, {201}, 200)


def test_a_connection_too_many_is_told_when_to_come_back_and_closed(
    app: Litestar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over real connections: those that are open stay, the next one is answered as a problem, a probe always."""
    monkeypatch.setattr(limited, "MAX_CONNECTIONS", 3)
    served = server(Settings(api_port=0, api_drain_s=0), app)
    with running(served) as port, ExitStack() as opened:
        held = [opened.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}")) for _ in range(4)]
        answers = [client.get("/v1/retail") for client in held]
        assert [one.status_code for one in answers] == [200, 200, 200, 429]
        beyond = answers[-1]
        assert (beyond.json()["code"], beyond.headers["retry-after"]) == ("too-many-waiting", "1")
        assert (beyond.headers["content-type"], beyond.headers["connection"]) == ("application/problem+json", "close")
        told = held[-1].get("/v1/retail/store_daily/changes", headers={"Accept": "text/event-stream"})
        assert (told.status_code, told.headers["content-type"]) == (200, "text/event-stream"), "EventSource tries again"
        assert told.text.startswith("retry: 5000\n\nevent: end\n")
        assert held[-1].get("/livez").status_code == 200
        held.pop().close()
        until = time.monotonic() + 60
        while (after := held[0].get("/v1/retail").status_code) != 200 and time.monotonic() < until:
            time.sleep(0.02)
        assert after == 200, "there is room again"


@contextmanager
def running(served: uvicorn.Server) -> Iterator[int]:
    """The server in a thread; its port."""
    thread = threading.Thread(target=served.run)
    thread.start()
    try:
        until = time.monotonic() + 60
        while not served.started and time.monotonic() < until:
            time.sleep(0.02)
        yield served.servers[0].sockets[0].getsockname()[1]
    finally:
        served.should_exit = True
        thread.join(60)


def test_the_bounds_are_one_below_the_other() -> None:
    """So that a waiter is told 429 by us before the server under us hangs up."""
    assert MAX_WAITERS < limited.MAX_AT_ONCE < limited.MAX_CONNECTIONS < HANG_UP


def test_a_line_without_end_holds_no_more_than_a_line_may() -> None:
    splitter = LineSplitter()
    for _ in range(50):
        assert list(splitter.feed(b"x" * 100_000)) == []
        assert len(splitter._rest) <= batch_line.MAX_LINE_BYTES + 1
    ((number, text),) = next(splitter.end())
    assert (number, len(text)) == (1, batch_line.MAX_LINE_BYTES + 1)


@pytest.mark.parametrize(("hangs_up", "served"), [(None, 4000), (HANG_UP, 4000), (136, 121), (9, 8), (1, 0)])
def test_fewer_connections_are_served_where_the_server_hangs_up_sooner(hangs_up: int | None, served: int) -> None:
    """So that the next one is told 429 by us, and a probe still finds a place."""
    assert limited.admitted(hangs_up) == served
