"""Single commands over HTTP with keep-alive clients: `python -m benchmarks.http [--clients 64] [--seconds 15]`. The last line is JSON."""

import argparse
import asyncio
import json
import time
from uuid import uuid4

from benchmarks.latency import running_api
from refold.api.http.latency import Connection

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--url")
    arguments = parser.parse_args()
    with running_api(arguments.url) as url:
        asyncio.run(load(url, arguments.clients, 3.0))
        found = asyncio.run(load(url, arguments.clients, arguments.seconds))
    print(json.dumps({"clients": arguments.clients, **found}))


if __name__ == "__main__":
    main()
