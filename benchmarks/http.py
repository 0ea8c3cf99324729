"""Measures commands over HTTP: `python -m benchmarks.http [--clients 64] [--seconds 15]`. Last line JSON.

First single commands by keep-alive clients that each wait for their answer, then NDJSON batches (`benchmarks.batches`)
on the same stack.
"""

import argparse
import asyncio
import json
import time
from uuid import uuid4

from benchmarks import batches
from benchmarks.latency import Pids, running_api
from refold.api.demo.latency import Connection

BATCH_LINES, BATCHES, WARM_UP_S = 60_000, 2, 3.0
PATH = "/v1/commands/retail/basket/OpenBasket"


async def client(url: str, until: float, times: list[float]) -> None:
    connection = await Connection.to(url)
    while time.perf_counter() < until:
        began = time.perf_counter()
        body = {"basket_id": f"http-{uuid4().hex}", "store_id": 1}
        answer = await connection.ask("POST", PATH, {"Idempotency-Key": str(uuid4()), "Prefer": "wait=30"}, body)
        if answer.status != 201:
            raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
        times.append(time.perf_counter() - began)
    connection.close()


async def load(url: str, clients: int, seconds: float) -> dict[str, float]:
    times: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(client(url, began + seconds, times) for _ in range(clients)))
    took = time.perf_counter() - began
    times.sort()
    middle, late = times[len(times) // 2], times[int(len(times) * 0.99)]
    return {
        "commands_per_s": round(len(times) / took),
        "answer_p50": round(middle * 1000, 2),
        "answer_p99": round(late * 1000, 2),
    }


def measured(url: str, clients: int, seconds: float, pids: Pids) -> dict[str, object]:
    """Measure single commands by keep-alive clients, then lines in batches, with the CPU of each of our processes."""
    asyncio.run(load(url, clients, WARM_UP_S))
    before = batches.cpu(pids())
    found = asyncio.run(load(url, clients, seconds))
    between = batches.cpu(pids())
    asyncio.run(batches.load(url, BATCH_LINES // 6, BATCHES))
    again = batches.cpu(pids())
    took, answers = asyncio.run(batches.load(url, BATCH_LINES, BATCHES))
    after, lines = batches.cpu(pids()), sum(answers.values())
    return {
        "clients": clients,
        **found,
        "cpu_us_a_command": _each(before, between, found["commands_per_s"] * seconds),
        "batch_commands_per_s": round(lines / took),
        "batch_statuses": dict(answers),
        "batch_cpu_us_a_command": _each(again, after, lines),
    }


def _each(before: dict[str, float], after: dict[str, float], commands: float) -> dict[str, float]:
    return {name: round((after[name] - before[name]) / commands * 1e6, 1) for name in after}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--url")
    arguments = parser.parse_args()
    with running_api(arguments.url) as (url, pids):
        found = measured(url, arguments.clients, arguments.seconds, pids)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
