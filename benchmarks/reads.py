"""Measures reads over HTTP: `python -m benchmarks.reads [--clients 32] [--seconds 10]`. Last line JSON.

First single rows by their key, then pages of 50 rows, both by keep-alive clients that each wait for their answer. With `--url` it
measures an API that already runs, and no CPU.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from uuid import uuid4

from benchmarks import batches
from benchmarks.latency import Pids, running_api
from refold.api.demo.latency import Connection

BASKETS, WARM_UP_S = 400, 2.0
MODEL = "/v1/retail/baskets"
Paths = Iterator[str]


async def filled(url: str, run: str) -> None:
    """Open the baskets, and wait until the last of them is shown."""
    connection = await Connection.to(url)
    for number in range(BASKETS):
        body = {"basket_id": f"{run}-{number}", "store_id": number % 50}
        wait = {"Idempotency-Key": str(uuid4()), "Prefer": "wait=30"}
        sent = await connection.ask("POST", "/v1/commands/retail/basket/OpenBasket", wait, body)
        if sent.status != 201:
            raise RuntimeError(f"{sent.status}: {sent.body[:300]!r}")
        reach = {"Refold-Min-Position": sent.headers["refold-position"], "Prefer": "wait=30"}
        if number >= BASKETS - 50:  # those of every partition
            await connection.ask("GET", f"{MODEL}/{run}-{number}", reach)
    connection.close()


async def client(url: str, paths: Paths, until: float, times: list[float]) -> None:
    connection = await Connection.to(url)
    while time.perf_counter() < until:
        began = time.perf_counter()
        answer = await connection.ask("GET", next(paths), {"Accept": "application/json"})
        if answer.status not in {200, 206}:
            raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
        times.append(time.perf_counter() - began)
    connection.close()


async def load(url: str, paths: Paths, clients: int, seconds: float) -> list[float]:
    times: list[float] = []
    until = time.perf_counter() + seconds
    await asyncio.gather(*(client(url, paths, until, times) for _ in range(clients)))
    return sorted(times)


def measured(url: str, new_paths: Callable[[], Paths], clients: int, seconds: float, pids: Pids) -> dict[str, object]:
    asyncio.run(load(url, new_paths(), clients, WARM_UP_S))
    before = batches.cpu(pids())
    times = asyncio.run(load(url, new_paths(), clients, seconds))
    after = batches.cpu(pids())
    spent = {name: (after[name] - before[name]) / len(times) * 1e6 for name in after if name in before}
    return {
        "per_s": round(len(times) / seconds),
        "p50_ms": round(times[len(times) // 2] * 1000, 2),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 2),
        "cpu_us_a_request": {name: round(us, 1) for name, us in spent.items() if name in {"api", "postgres"}},
    }


def rows(run: str) -> Callable[[], Paths]:
    return lambda: (f"{MODEL}/{run}-{number % BASKETS}" for number in count())


def pages() -> Paths:
    return (f"{MODEL}?limit=50&store_id=gte.{number % 8}" for number in count())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--url")
    arguments = parser.parse_args()
    run = uuid4().hex[:12]
    with running_api(arguments.url) as (url, pids):
        asyncio.run(filled(url, run))
        found = {
            "row": measured(url, rows(run), arguments.clients, arguments.seconds, pids),
            "page": measured(url, pages, arguments.clients, arguments.seconds, pids),
        }
    print(f"{found['row']['per_s']} rows/s, {found['page']['per_s']} pages/s", file=sys.stderr)
    print(json.dumps({"clients": arguments.clients, **found}))


if __name__ == "__main__":
    main()
