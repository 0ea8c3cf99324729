"""Measures each process's memory over millions of commands: `python -m benchmarks.memory [--commands 2000000]`.

The last line is JSON. The embedded stack runs as under `refold dev`. The demo's commands enter it through the Producer,
never far ahead of what is shown; after the last receipt they begin again under fresh ids and streams. The API answers
some reads meanwhile. Samples of a second are put into quarters by the models' progress. A process is flat if the
medians of its last two quarters differ by no more than a tenth.

RSS is judged, since each worker is one process, and RSS is what an operator sees and a limit kills by. Postgres is
judged by the sum of PSS: its connections share one buffer, which RSS would count once for each. Kafka and Postgres are
shown and judged apart (`servers_flat`): a heap and a buffer that fill up to their bounds are no leak.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid5

import httpx
import msgspec
import psutil

from refold.api.cli.signals import interrupt_on_sigterm
from refold.api.cli.stack import Stack
from refold.api.demo.commands import Wish, commands
from refold.api.demo.receipts import open_receipts
from refold.api.demo.sending import open_producer, send_one
from refold.api.embedded.removal import passing_data
from refold.retail.schemas.basket import BASKET
from refold.retail.schemas.product import PRODUCT
from refold.streams.log.topics import events_topic
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings

QUARTERS = ("q1", "q2", "q3", "q4")
SERVERS = frozenset({"kafka", "postgres"})
SAMPLE_S, BOUND_S = 1.0, 3600.0
AHEAD, A_LOOK = 50_000, 200
"""Most commands sent and not yet shown, and commands between two looks.

So the processes work all the time and need not wait for the processor.
"""
MOST_APART = 0.1
READS = (
    "/v1/retail/baskets?limit=100",
    "/v1/retail/store_daily?limit=100",
    "/v1/retail/households?limit=100",
    "/metrics",
)
READS_A_SAMPLE = 5
_SHOWN = "SELECT coalesce(sum(next_offset), 0)::bigint FROM refold.positions WHERE grp = 'models' AND topic = ANY(%s)"


@dataclass
class Samples:
    """Bytes by process and quarter. A process that was restarted is left out."""

    stack: Stack
    taken: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    restarted: set[str] = field(default_factory=set)

    def take(self, quarter: str) -> None:
        """Sample each process once."""
        for name, pid in self.stack.pids().items():
            if self.pids.setdefault(name, pid) != pid:
                self.restarted.add(name)
            self.taken.setdefault(name, {each: [] for each in QUARTERS})[quarter].append(memory(name, pid))

    def found(self) -> dict[str, dict[str, float]]:
        """For each process: the quarters' medians in MiB, the maximum, and the last median over the last but one."""
        return {name: _summary(quarters) for name, quarters in self.taken.items()}


class Load:
    """Sends so many commands, and samples meanwhile."""

    def __init__(self, stack: Stack, count: int) -> None:
        self._stack, self._count = stack, count
        self._db = connect(stack.settings.dsn(), application_name="bench")
        self._topics = [events_topic(stack.settings.topic_prefix, category.name) for category in (BASKET, PRODUCT)]
        self._api = httpx.Client(base_url=stack.api_url, timeout=60)
        self._next, self._shown = 0.0, 0
        self.samples = Samples(stack)

    def run(self) -> float:
        """Run until the models show every command; returns commands per second."""
        began = time.perf_counter()
        with open_producer(self._stack.settings) as producer:
            for sent, wish in enumerate(endless(), 1):
                send_one(producer, wish)
                if sent % A_LOOK == 0:
                    self._keep_near(sent - AHEAD)
                if sent == self._count:
                    break
        self._keep_near(self._count)
        self._db.close()
        self._api.close()
        return self._count / (time.perf_counter() - began)

    def _keep_near(self, shown: int) -> None:
        """Look, and wait until so many commands are shown."""
        until = time.monotonic() + BOUND_S
        self._look()
        while self._shown < shown:
            if time.monotonic() > until or self._stack.ended() is not None:
                message = f"the stack stands still at {self._shown:,} commands"
                raise RuntimeError(message)
            time.sleep(0.05)
            self._look()

    def _look(self) -> None:
        """Once a second, read the progress and take a sample."""
        if time.monotonic() < self._next:
            return
        row = self._db.execute(_SHOWN, (self._topics,)).fetchone()
        self._shown = int(row[0]) if row else 0
        for path in READS * READS_A_SAMPLE:
            self._api.get(path).raise_for_status()
        self.samples.take(QUARTERS[min(3, 4 * self._shown // self._count)])
        self._next = time.monotonic() + SAMPLE_S
        print(f"\r{self._shown:,} of {self._count:,} commands", end="", file=sys.stderr, flush=True)


def endless() -> Iterator[Wish]:
    """The demo's commands, year after year; each year has other baskets and products."""
    with open_receipts() as receipts:
        yield from commands(receipts, receipts.weeks)
        year = 1
        while True:
            year += 1
            for wish in commands(receipts, receipts.weeks):
                yield anew(wish, year)


def anew(wish: Wish, year: int) -> Wish:
    """The same command for another stream, under another id; products are numbers of up to 18 digits."""
    name = wish.command.stream_field
    other = {name: f"{year}{getattr(wish.command, name).zfill(14)}"}
    return Wish(
        msgspec.structs.replace(wish.command, **other), uuid5(wish.command_id, f"year/{year}"), wish.occurred_at
    )


def memory(name: str, pid: int) -> int:
    """Bytes of a process; for a server's processes the sum without counting shared memory twice."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if name != "postgres":
            return int(process.memory_info().rss)
        return sum(_shared_fairly(each) for each in (process, *process.children(recursive=True)))
    return 0


def _shared_fairly(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return int(process.memory_full_info().pss)
    return 0


def _summary(quarters: Mapping[str, list[int]]) -> dict[str, float]:
    medians = {name: statistics.median(taken) if taken else 0 for name, taken in quarters.items()}
    highest = max(max(taken, default=0) for taken in quarters.values())
    ratio = medians["q4"] / medians["q3"] if medians["q3"] else 0.0
    return {name: round(size / 2**20, 1) for name, size in (medians | {"peak": highest}).items()} | {
        "ratio": round(ratio, 3)
    }


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """MiB by process and quarter."""
    head = f"{'MiB':10}" + "".join(f"{name:>9}" for name in (*QUARTERS, "peak", "q4/q3"))
    rows = [
        f"{name:10}" + "".join(f"{size:9.1f}" for size in list(row.values())[:-1]) + f"{row['ratio']:9.3f}"
        for name, row in found.items()
    ]
    return "\n".join([head, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=2_000_000)
    arguments = parser.parse_args()
    interrupt_on_sigterm()
    with passing_data("refold-bench-memory-") as data:
        settings = Settings.load({}).model_copy(update={"data": data, "api_port": 0})
        with Stack(settings, lambda text: print(text, file=sys.stderr)) as stack:
            stack.wait_until_ready()
            load = Load(stack, arguments.commands)
            per_s = load.run()
    found = load.samples.found()
    print(f"\n{table(found)}")
    flat = {name for name, row in found.items() if abs(row["ratio"] - 1) <= MOST_APART} - load.samples.restarted
    verdict = {"flat": flat >= found.keys() - SERVERS, "servers_flat": flat >= found.keys() & SERVERS}
    print(json.dumps({**found, **verdict, "commands": arguments.commands, "commands_per_s": round(per_s)}))


if __name__ == "__main__":
    main()
