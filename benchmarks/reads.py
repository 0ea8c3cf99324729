"""Measures reads over HTTP: `python -m benchmarks.reads [--clients 32] [--seconds 10] [--moves 20]`. Last line JSON.

Single rows by their key, and pages of 50 rows, by keep-alive clients that each wait for their answer: first while nothing is written, then
while so many commands a second move the model (their cost is in the API's CPU, too). With `--url` it measures an API that already runs, such as
one of an earlier build, and with `--pids api=123,postgres=456` the CPU of its processes.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import count, cycle
from urllib.parse import urlsplit
from uuid import uuid4

import uvloop

from benchmarks import batches
from benchmarks.latency import Pids, running_api
from refold.api.demo.latency import Connection

BASKETS, WARM_UP_S = 400, 2.0
COMMAND = "/v1/commands/retail/basket/OpenBasket"
MODEL = "/v1/retail/baskets"
ORDERS = ("basket_id", "store_id", "store_id.desc", "basket_id.desc")
"""Pages differ by their order: builds before PostgREST's language know no other filter with so many rows."""
Paths = Iterator[str]
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)", re.IGNORECASE)
_END = b"\r\n\r\n"


class Client(asyncio.Protocol):
    """Asks again as soon as it has the answer. It reads no more of an answer than its status and its end."""

    def __init__(self, host: str, paths: Paths, until: float, times: list[float], more: str = "") -> None:
        """`more`: header lines besides the usual ones."""
        self._more = more
        self._host, self._paths, self._until, self._times = host, paths, until, times
        self._read, self._whole = bytearray(), 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio's own signature says BaseTransport; TCP has this one
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        head = f"GET {next(self._paths)} HTTP/1.1\r\nHost: {self._host}\r\nAccept: application/json\r\n{self._more}\r\n"
        self._transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        self._read += data
        if not self._whole and (end := self._read.find(_END)) >= 0:
            found = _LENGTH.search(self._read, 0, end)
            self._whole = end + len(_END) + int(found[1] if found else 0)
        if not self._whole or len(self._read) < self._whole:
            return
        if bytes(self._read[9:12]) not in {b"200", b"206"}:
            self.done.set_exception(RuntimeError(self._read[:300].decode()))
            return
        now = time.perf_counter()
        self._times.append(now - self._began)
        self._read.clear()
        self._whole = 0
        if now < self._until:
            self._ask()
        else:
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the API closed the connection"))


async def load(url: str, paths: Paths, clients: int, seconds: float, more: str = "") -> list[float]:
    times: list[float] = []
    parts, until = urlsplit(url), time.perf_counter() + seconds
    host, port, loop = parts.hostname or "", parts.port or 80, asyncio.get_running_loop()
    each = [
        await loop.create_connection(lambda: Client(parts.netloc, paths, until, times, more), host, port)
        for _ in range(clients)
    ]
    await asyncio.gather(*(client.done for _, client in each))
    for transport, _ in each:
        transport.close()
    return sorted(times)


async def opened(connection: Connection, basket: str, number: int) -> str:
    """Open a basket; the position at which it is."""
    body = {"basket_id": basket, "store_id": number % 50}
    wait = {"Idempotency-Key": str(uuid4()), "Prefer": "wait=30"}
    sent = await connection.ask("POST", COMMAND, wait, body)
    if sent.status != 201:
        raise RuntimeError(f"{sent.status}: {sent.body[:300]!r}")
    return sent.headers["refold-position"]


async def filled(url: str, run: str) -> None:
    """Open the baskets, and wait until the last of them is shown."""
    connection = await Connection.to(url)
    for number in range(BASKETS):
        position = await opened(connection, f"{run}-{number}", number)
        if number >= BASKETS - 50:  # those of every partition
            reach = {"Refold-Min-Position": position, "Prefer": "wait=30"}
            await connection.ask("GET", f"{MODEL}/{run}-{number}", reach)
    connection.close()


async def moving(url: str, run: str, moves: float, seconds: float) -> int:
    """Open so many baskets a second; how many there were."""
    connection, loop = await Connection.to(url), asyncio.get_running_loop()
    began = loop.time()
    for number in count(1):
        await opened(connection, f"{run}-{number}", number)
        due = began + number / moves
        if due > began + seconds:
            connection.close()
            return number
        await asyncio.sleep(due - loop.time())
    raise AssertionError


async def both(
    url: str, paths: Paths, arguments: argparse.Namespace, moves: float, api: str = ""
) -> tuple[list[float], int]:
    """The times of reads, and how many commands moved the model meanwhile; `api`: where to send them, if not to `url`."""
    reading = load(url, paths, arguments.clients, arguments.seconds)
    if not moves:
        return await reading, 0
    times, moved = await asyncio.gather(reading, moving(api or url, uuid4().hex[:12], moves, arguments.seconds))
    return times, moved


def measured(
    url: str, paths: Callable[[], Paths], arguments: argparse.Namespace, pids: Pids, moves: float = 0.0
) -> dict[str, object]:
    uvloop.run(load(url, paths(), arguments.clients, WARM_UP_S))
    before = batches.cpu(pids())
    times, moved = uvloop.run(both(url, paths(), arguments, moves))
    after = batches.cpu(pids())
    spent = {name: (after[name] - before[name]) / len(times) * 1e6 for name in after if name in before}
    return {
        "per_s": round(len(times) / arguments.seconds),
        "p50_ms": round(times[len(times) // 2] * 1000, 2),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 2),
        "cpu_us_a_request": {name: round(us, 1) for name, us in spent.items() if name in {"api", "postgres"}},
        "moves_per_s": round(moved / arguments.seconds, 1),
    }


def rows(run: str) -> Callable[[], Paths]:
    return lambda: (f"{MODEL}/{run}-{number % BASKETS}" for number in count())


def pages() -> Paths:
    return (f"{MODEL}?limit=50&order={order}" for order in cycle(ORDERS))


def given(text: str) -> Pids:
    """The processes that `--pids` names."""
    found = {name: int(pid) for name, _, pid in (part.partition("=") for part in text.split(",") if part)}
    return lambda: found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--moves", type=float, default=20.0)
    parser.add_argument("--url")
    parser.add_argument("--pids", type=given, default="")
    arguments = parser.parse_args()
    run, url = uuid4().hex[:12], arguments.url
    with nullcontext((url, arguments.pids)) if url else running_api(None) as (url, pids):
        asyncio.run(filled(url, run))
        found = {
            "row": measured(url, rows(run), arguments, pids),
            "page": measured(url, pages, arguments, pids),
            "row_moving": measured(url, rows(run), arguments, pids, arguments.moves),
            "page_moving": measured(url, pages, arguments, pids, arguments.moves),
        }
    print(f"{found['row']['per_s']} rows/s, {found['page']['per_s']} pages/s", file=sys.stderr)
    print(json.dumps({"clients": arguments.clients, **found}))


if __name__ == "__main__":
    main()
