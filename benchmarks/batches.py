"""Measures commands in NDJSON batches: `python -m benchmarks.batches [--lines 60000] [--batches 2]`. Last line JSON.

Baskets of one opening and nine scans, as the demo's. Each batch is one request, whose answers are read while it is
sent.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from urllib.parse import urlsplit
from uuid import uuid4

from benchmarks.workers import cpu_seconds
from refold.api.cli.stack import Stack
from refold.api.embedded.removal import passing_data
from refold.streams.settings import Settings

LINES_A_BASKET = 10
LINES_A_PIECE = 200


def lines(count: int) -> list[bytes]:
    made = []
    for number in range(count):
        if number % LINES_A_BASKET == 0:
            basket = f"bench-{uuid4().hex}"
            command, data = "OpenBasket", {"basket_id": basket, "store_id": number % 50}
        else:
            command, data = "ScanItem", {"product_id": number, "quantity": 1, "amount": "1.10", "discount": "0.00"}
        text = {"command": f"retail.basket.{command}", "id": str(uuid4()), "data": {"basket_id": basket} | data}
        made.append(json.dumps(text).encode() + b"\n")
    return made


async def batch(url: str, sent: list[bytes]) -> Counter[int]:
    """Send one batch and count the answers by status.

    This client is written by hand, so that the server is what is measured.
    """
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20)
    head = f"POST /v1/commands HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/x-ndjson\r\nPrefer: wait=30\r\n"
    writer.write(f"{head}Content-Length: {sum(map(len, sent))}\r\n\r\n".encode())

    async def write() -> None:
        for at in range(0, len(sent), LINES_A_PIECE):
            writer.write(b"".join(sent[at : at + LINES_A_PIECE]))
            await writer.drain()

    writing = asyncio.create_task(write())
    await reader.readuntil(b"\r\n\r\n")
    found: Counter[int] = Counter()
    while size := int(await reader.readline(), 16):
        answers = await reader.readexactly(size + 2)
        for status in (201, 202, 409, 429, 503):
            found[status] += answers.count(b'"status":%d,' % status)
    await writing
    writer.close()
    return found


async def load(url: str, count: int, batches: int) -> tuple[float, Counter[int]]:
    each = [lines(count // batches) for _ in range(batches)]
    began = time.perf_counter()
    counts = await asyncio.gather(*(batch(url, sent) for sent in each))
    took = time.perf_counter() - began
    return took, sum(counts, Counter[int]())


def cpu(pids: dict[str, int]) -> dict[str, float]:
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=60_000)
    parser.add_argument("--batches", type=int, default=2)
    arguments = parser.parse_args()
    with passing_data("refold-bench-") as data:
        settings = Settings.load({}).model_copy(update={"data": data, "api_port": 0})
        with Stack(settings, lambda text: print(text, file=sys.stderr)) as stack:
            stack.wait_until_ready()
            asyncio.run(load(stack.api_url, 10_000, arguments.batches))
            before = cpu(stack.pids())
            took, found = asyncio.run(load(stack.api_url, arguments.lines, arguments.batches))
            spent = {name: after - before[name] for name, after in cpu(stack.pids()).items()}
    print(
        json.dumps(
            {
                "batch_commands_per_s": round(sum(found.values()) / took),
                "batches": arguments.batches,
                "statuses": dict(found),
                "cpu_us_a_command": {name: round(s / sum(found.values()) * 1e6, 1) for name, s in spent.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
