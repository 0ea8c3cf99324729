"""Measures what the door `keys` costs a read: `python -m benchmarks.doors [--clients 32] [--seconds 5] [--rounds 3]`. Last line JSON.

Two API processes stand on the same servers, one behind the door `keys` and one behind `local`. They answer the same single rows in turn,
from memory and from Postgres.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from urllib.request import Request, urlopen
from uuid import uuid4

import uvloop

from benchmarks.reads import BASKETS, COMMAND, MODEL, load
from refold.api.cli.stack import Stack
from refold.api.embedded.removal import passing_data
from refold.streams.settings import Settings


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "refold.api.cli.app", *words]


def environment(settings: Settings) -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")
    } | settings.environment()


def key_of(settings: Settings) -> str:
    done = subprocess.run(
        command("keys", "create", "bench", "--role", "admin", "--execute", "--json"),
        env=environment(settings), check=True, capture_output=True, text=True,
    )  # fmt: skip
    return str(json.loads(done.stdout)["key"])


@contextmanager
def api(settings: Settings) -> Iterator[str]:
    """One more API process on the same servers; its URL."""
    url = f"http://127.0.0.1:{settings.api_port}"
    process = subprocess.Popen(command("api"), env=environment(settings), stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                urlopen(f"{url}/readyz", timeout=2).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def fill(url: str, key: str, run: str) -> None:
    position = ""
    for number in range(BASKETS):
        body = json.dumps({"basket_id": f"{run}-{number}", "store_id": number % 50}).encode()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Prefer": "wait=30"}
        asked = Request(f"{url}{COMMAND}", body, headers | {"Idempotency-Key": str(uuid4())})
        with urlopen(asked, timeout=60) as answer:
            position = answer.headers["Refold-Position"]
    reach = {"Authorization": f"Bearer {key}", "Refold-Min-Position": position, "Prefer": "wait=30"}
    urlopen(Request(f"{url}{MODEL}/{run}-0", headers=reach), timeout=60).close()


def rounds(settings: Settings, key: str, run: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Reads a second behind each door, in turn; their ratio is of each round's pair."""
    base = settings.api_port
    locally = settings.model_copy(update={"api_doors": ["local"], "domains": ["retail"], "api_port": base + 1})
    guarded = settings.model_copy(update={"api_port": base + 2})
    found: dict[str, list[float]] = {"local": [], "keys": []}
    with api(locally) as open_url, api(guarded) as keys_url:
        each = {"local": (open_url, ""), "keys": (keys_url, f"Authorization: Bearer {key}\r\n")}
        for number in range(arguments.rounds + 1):  # the first one warms up
            for door, (url, more) in each.items():
                paths = cycle([f"{MODEL}/{run}-{number}" for number in range(BASKETS)])
                times = uvloop.run(load(url, paths, arguments.clients, arguments.seconds, more))
                if number:
                    found[door].append(len(times) / arguments.seconds)
    ratios = [keys / locally for keys, locally in zip(found["keys"], found["local"], strict=True)]
    return {
        **{f"{door}_reads_per_s": round(statistics.median(rates)) for door, rates in found.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments, run = parser.parse_args(), uuid4().hex[:12]
    with passing_data("refold-bench-") as data:
        wanted = Settings.load({"REFOLD_API_DOORS": "keys"}).model_copy(update={"data": data, "api_port": 0})
        with Stack(wanted, lambda text: print(text, file=sys.stderr)) as stack:
            stack.wait_until_ready()
            key = key_of(stack.settings)
            fill(stack.api_url, key, run)
            kept = rounds(stack.settings, key, run, arguments)
            plain = rounds(stack.settings.model_copy(update={"api_kept_mb": 0}), key, run, arguments)
    print(f"behind keys against local: {kept['ratio']} from memory, {plain['ratio']} from Postgres")
    print(json.dumps({"clients": arguments.clients, "from_memory": kept, "from_postgres": plain}))


if __name__ == "__main__":
    main()
