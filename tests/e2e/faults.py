"""A plan of faults from a seed: processes killed or paused, workers come and go, connections cut, slow, held, deaf."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator

import psutil

from refold.streams import exit_codes
from tests.e2e.site import Site
from tests.e2e.tables import until

SUPERVISED = ("handler", "core", "models", "reactors", "api", "kafka", "postgres")
WORKERS = ("handler", "core", "models", "reactors")
KINDS = ("kill", "pause", "worker", "cut", "delay", "hold", "deafen")
MORE = ("kill", "kill", "pause", "worker")
"""Each hand of the plan has every kind once, and these once more."""
REFUSED = exit_codes.PRECONDITION


class Faults:
    """Does one fault after another to a site. `done` counts them by kind."""

    def __init__(self, site: Site, rng: random.Random) -> None:
        self._site, self._rng = site, rng
        self._kinds = plan(rng)
        self.done: Counter[str] = Counter()

    def one(self) -> None:
        """The next of the plan; returns once it is over."""
        kind = next(self._kinds)
        getattr(self, f"_{kind}")()

    def _kill(self) -> None:
        role, pid = self._victim()
        os.kill(pid, signal.SIGKILL)
        until(lambda: self._site.pids().get(role) not in {None, pid}, 90, f"{role} was not started again")
        self.done[f"kill {role}"] += 1

    def _pause(self) -> None:
        role, pid = self._victim()
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self._rng.choice((1.0, 3.0, 8.0)))
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGCONT)
        self.done[f"pause {role}"] += 1

    def _worker(self) -> None:
        """A second worker joins; one that joined leaves, at once and politely or neither."""
        role, joined = self._rng.choice(WORKERS), self._site.joined
        for gone in [role for role, process in joined.items() if process.poll() is not None]:
            code = joined.pop(gone).returncode
            assert code != REFUSED, f"the second {gone} refused the log"
        if role not in joined:
            self._site.join(role)
            self.done["join"] += 1
        else:
            number = self._rng.choice((signal.SIGTERM, signal.SIGKILL))
            code = self._site.leave(role, number)
            polite = number == signal.SIGTERM and code == 0  # one that was still starting just dies
            assert polite or code == -number, f"{role} left with {code}"
            self.done[f"leave by {number.name}"] += 1

    def _cut(self) -> None:
        server = self._link()
        cut = self._site.links[server].cut(self._rng, self._rng.choice((0.3, 1.0)))
        self.done[f"cut {server}"] += 1
        self.done["connections cut"] += cut

    def _delay(self) -> None:
        self._trouble("delay", self._rng.choice((0.05, 0.2)))

    def _hold(self) -> None:
        """As behind a firewall that drops: nobody is told, and all of it arrives in the end."""
        self._trouble("hold")

    def _deafen(self) -> None:
        """Answers are missing for a while; then half of the connections are reset, and the other half gets them late."""
        self._trouble("deafen", cut=0.5)

    def _trouble(self, kind: str, *arguments: float, cut: float = 0.0) -> None:
        server = self._link()
        link = self._site.links[server]
        getattr(link, kind)(*arguments)
        time.sleep(self._rng.choice((1.0, 3.0, 8.0)))
        if cut:
            self.done["connections cut"] += link.cut(self._rng, cut)
        link.heal()
        self.done[f"{kind} {server}"] += 1

    def _victim(self) -> tuple[str, int]:
        role = self._rng.choice(SUPERVISED)
        until(lambda: role in self._site.pids(), 90, f"{role} does not run")
        return role, self._site.pids()[role]

    def _link(self) -> str:
        return self._rng.choice(sorted(self._site.links))


def plan(rng: random.Random) -> Iterator[str]:
    """Kinds without end, as from a shuffled pack; the first five differ."""
    while True:
        yield from rng.sample(KINDS, len(KINDS))
        yield from rng.sample(MORE, len(MORE))
