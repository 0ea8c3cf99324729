"""Measures one client's waiting time: `python -m benchmarks.latency [--commands 500] [--rate 50]`. Last line JSON.

Embedded servers and all processes run as under `refold dev`. With `--url` it measures an API that already runs.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from refold.api.cli.stack import Stack
from refold.api.demo.latency import measure
from refold.api.embedded.removal import passing_data
from refold.streams.settings import Settings

WARM_UP = 100
Pids = Callable[[], dict[str, int]]


@contextmanager
def running_api(url: str | None) -> Iterator[tuple[str, Pids]]:
    """The URL of an API, and its processes: the given one, or one of a stack that runs as long as the block."""
    if url:
        yield url, dict
        return
    with running_stack() as stack:
        yield stack.api_url, stack.pids


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Embedded servers and all processes, ready, as long as the block; their data is removed then."""
    with passing_data("refold-bench-") as data:
        settings = Settings.load({}).model_copy(update={"data": data, "api_port": 0})
        with Stack(settings, lambda text: print(text, file=sys.stderr)) as stack:
            stack.wait_until_ready()
            yield stack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=500)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--url")
    arguments = parser.parse_args()
    with running_api(arguments.url) as (url, _):
        asyncio.run(measure(url, WARM_UP, arguments.rate))
        found = asyncio.run(measure(url, arguments.commands, arguments.rate))
    print(
        f"{arguments.commands} commands at {arguments.rate:g}/s: answered p50 {found.answer_p50} ms, visible p50 {found.visible_p50} ms"
    )
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
