"""Measures what a rebuild costs live traffic: `python -m benchmarks.throttle [--weeks 20] [--rounds 3]`. Last line JSON.

In turn, round by round: commands at a steady rate with nothing beside them, beside rebuilds, and beside rebuilds with
--throttle. A rebuild that ends is begun again until the commands are done. Ratios are to the idle phase of the same round.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from statistics import median
from typing import Any, Self

from benchmarks.latency import WARM_UP
from benchmarks.log_writer import LogWriter
from benchmarks.models import chosen
from benchmarks.receipts import decided
from benchmarks.year import fresh_database, say
from refold.api.cli.stack import Stack
from refold.api.demo.latency import Latency, measure
from refold.api.embedded.removal import passing_data
from refold.api.embedded.servers import Servers
from refold.streams.domain import load_domains
from refold.streams.log.topics import ensure_topics
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.postgres.connection import connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.settings import Settings

_DONE = re.compile(r"([\d,]+) of [\d,]+ records")
PHASES: dict[str, Sequence[str] | None] = {"idle": None, "rebuild": (), "throttled": ("--throttle",)}


@contextmanager
def running(weeks: int) -> Iterator[tuple[str, Settings]]:
    """A stack over a log of receipts, with everything folded: the API's URL and the settings."""
    with passing_data("refold-bench-") as data:
        settings = Settings.load({}).model_copy(update={"data": data, "api_port": 0})
        with Servers(data, say) as servers:
            found = servers.endpoints()
            assert found.kafka
            assert found.database_url
            settings = settings.with_servers(found.kafka, fresh_database(found.database_url, "bench"))
            domains = load_domains(settings.domains)
            with connect(settings.dsn(), application_name="bench") as db:
                bootstrap(db)
                when_kafka_answers(lambda: ensure_topics(settings, domains, db))
            writer = LogWriter(settings, domains)
            records = writer.write(decided(weeks))
            writer.fill_commands()
            with Stack(settings, say) as stack:
                stack.wait_until_ready(300)
                say("the workers fold the log")
                while folded(settings) < records:
                    time.sleep(1)
                asyncio.run(measure(stack.api_url, WARM_UP, 20.0))
                yield stack.api_url, stack.settings


def folded(settings: Settings) -> int:
    """Records that the models have folded."""
    with connect(settings.dsn(), application_name="bench") as db:
        row = db.execute("SELECT coalesce(sum(next_offset), 0) FROM refold.positions WHERE grp = 'models'").fetchone()
    return int(row[0]) if row is not None else 0


class Rebuilds:
    """Rebuilds one after another while the block lasts."""

    def __init__(self, settings: Settings, options: Sequence[str] | None) -> None:
        self._command = [
            sys.executable,
            "-m",
            "refold.api.cli.app",
            "replay",
            "rebuild",
            "--all",
            "--execute",
            "--json",
        ]
        self._options, self._environment = options, {**os.environ, **settings.environment()}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._process: subprocess.Popen[str] | None = None
        self.records, self.whole = 0, 0

    def __enter__(self) -> Self:
        if self._options is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._process is not None:
            self._process.kill()  # the next one goes on from its last flush
            self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            self._process = subprocess.Popen(
                [*self._command, *(self._options or ())],
                env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            _, told = self._process.communicate()
            lines = _DONE.findall(told)
            self.records += int(lines[-1].replace(",", "")) if lines else 0
            self.whole += self._process.returncode == 0
            if self._process.returncode and not self._over.is_set():
                say(f"a rebuild ended with {self._process.returncode}: {told[-500:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commands", type=int, default=600)
    parser.add_argument("--rate", type=float, default=50.0)
    wanted = parser.parse_args()
    seen: dict[str, list[Latency]] = {phase: [] for phase in PHASES}
    rates: dict[str, list[float]] = {phase: [] for phase in PHASES}
    with chosen("four"), running(wanted.weeks) as (url, settings):
        for _ in range(wanted.rounds):
            for phase, options in PHASES.items():
                began = time.monotonic()
                with Rebuilds(settings, options) as rebuilds:
                    if options is not None:
                        asyncio.run(measure(url, WARM_UP, wanted.rate))  # until the first one works
                    found = asyncio.run(measure(url, wanted.commands, wanted.rate))
                seen[phase].append(found)
                rates[phase].append(rebuilds.records / (time.monotonic() - began))
                say(f"{phase}: {asdict(found)}, {rebuilds.whole} whole rebuilds, {rates[phase][-1]:,.0f} records/s")
    print(json.dumps(result(seen, rates)))


def result(seen: dict[str, list[Latency]], rates: dict[str, list[float]]) -> dict[str, Any]:
    """Medians of each figure by phase, and of each round's ratio to its idle phase."""
    found: dict[str, Any] = {}
    for phase, rounds in seen.items():
        figures = {name: [asdict(one)[name] for one in rounds] for name in asdict(rounds[0])}
        idle = {name: [asdict(one)[name] for one in seen["idle"]] for name in figures}
        found[phase] = {name: round(median(values), 2) for name, values in figures.items()}
        found[phase]["ratios_to_idle"] = {
            name: round(median(now / max(was, 1e-9) for now, was in zip(values, idle[name], strict=True)), 2)
            for name, values in figures.items()
        }
        found[phase]["rebuilt_records_per_s"] = round(median(rates[phase]))
    return found


if __name__ == "__main__":
    main()
