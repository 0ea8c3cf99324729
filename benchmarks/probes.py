"""Measures probes while the broker is silent, dies and comes back: `python -m benchmarks.probes`. Last line JSON.

Options: `--silent 8`, `--after 20` (seconds). Every 20 ms it asks /readyz of the API, and by turns /readyz and /livez
of each worker, each on a connection of its own.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import cycle

from refold.api.cli.roles import WORKERS, probe_port
from refold.api.cli.stack import Stack
from refold.api.embedded.ports import HOST, is_free
from refold.api.embedded.removal import passing_data
from refold.streams.settings import Settings

EVERY_S = 0.02
BOUND_S = 30.0


@dataclass
class Door:
    """One address that is asked repeatedly."""

    name: str
    port: int
    paths: tuple[str, ...]
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    def ask(self, path: str) -> None:
        """Ask once. An answer that does not come counts as the time that it was awaited."""
        began, said = time.perf_counter(), "none"
        try:
            with closing(HTTPConnection(HOST, self.port, timeout=BOUND_S)) as client:
                client.request("GET", path)
                answer = client.getresponse()
                answer.read()
                said = str(answer.status)
        except OSError:
            pass
        self.seconds.append(time.perf_counter() - began)
        self.statuses[f"{path} {said}"] += 1

    def ask_until(self, done: threading.Event) -> None:
        """Ask every 20 ms, by the clock."""
        paths, due = cycle(self.paths), time.perf_counter()
        while not done.is_set():
            self.ask(next(paths))
            due = max(due + EVERY_S, time.perf_counter() - EVERY_S)
            done.wait(max(0.0, due - time.perf_counter()))

    def found(self) -> dict[str, object]:
        """The measured times in milliseconds."""
        ordered = sorted(1000 * seconds for seconds in self.seconds)
        at = {name: ordered[min(int(share * len(ordered)), len(ordered) - 1)] for name, share in _SHARES.items()}
        figures = {name: round(value, 1) for name, value in at.items()}
        return {**figures, "asked": len(ordered), **dict(sorted(self.statuses.items()))}


_SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--silent", type=float, default=8.0, help="seconds for which the broker is stopped (SIGSTOP)")
    parser.add_argument("--after", type=float, default=20.0, help="seconds from its end (SIGTERM, then a new start)")
    arguments = parser.parse_args()
    with passing_data("refold-bench-") as data:
        first = next(port for port in range(21_000, 31_000, 10) if all(map(is_free, range(port, port + len(WORKERS)))))
        settings = Settings.load({}).model_copy(update={"data": data, "api_port": 0, "probe_port": first})
        with Stack(settings, lambda text: print(text, file=sys.stderr)) as stack:
            stack.wait_until_ready()
            doors = [Door("api", stack.settings.api_port, ("/readyz",))]
            doors += [Door(role, probe_port(settings, role, 1) or 0, ("/readyz", "/livez")) for role in WORKERS]
            restart(stack, doors, arguments.silent, arguments.after)
    print(json.dumps({door.name: door.found() for door in doors}))


def restart(stack: Stack, doors: list[Door], silent_s: float, after_s: float) -> None:
    """Stop the broker, leave it silent, then end it; the stack starts it again. Every door is asked all the while."""
    done = threading.Event()
    asking = [threading.Thread(target=door.ask_until, args=(done,)) for door in doors]
    for thread in asking:
        thread.start()
    time.sleep(2.0)
    broker = stack.pids()["kafka"]
    os.kill(broker, signal.SIGSTOP)
    time.sleep(silent_s)
    os.kill(broker, signal.SIGCONT)
    os.kill(broker, signal.SIGTERM)
    time.sleep(after_s)
    done.set()
    for thread in asking:
        thread.join()


if __name__ == "__main__":
    main()
