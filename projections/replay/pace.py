"""The pace of a throttled replay, as pure arithmetic: how long live work takes, and what share of the time a replay may work.

Nothing is written to measure it. A look tells where topics end and how far the workers are. A later look tells when they
were there. The time between the two is what a client waits who appends now.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEAST_SHARE = 0.05
"""A replay works at least this share of the time, whatever live traffic does."""
FIRST_SHARE, STEP = 0.2, 0.02
LONGEST_PAUSE_S = 2.0
BOUND, TOLERATED_S = 1.5, 0.05
"""Live work may take this many times as long as is usual, and at least this long, before the replay is held back."""
_REMEMBERED = 1_000
Reader = tuple[str, str, int]
"""Group, topic, partition."""


@dataclass(frozen=True)
class Delay:
    """How long the slowest reader takes. `group`: of that reader; empty if all have read everything at once."""

    seconds: float = 0.0
    group: str = ""


class Delays:
    """Delays of readers, look by look."""

    def __init__(self) -> None:
        self._waiting: dict[Reader, deque[tuple[float, int]]] = {}
        self._stuck = frozenset[Reader]()
        self._at: dict[Reader, int] = {}

    def look(self, now: float, readers: Mapping[Reader, tuple[int, int]]) -> Delay:
        """The worst delay now. `readers`: the position of each, and the end of what it reads; `now` in seconds."""
        worst = Delay()
        for reader, (position, end) in readers.items():
            moved = position != self._at.get(reader, position)
            self._at[reader] = position
            if moved:
                self._stuck -= {reader}
            waiting, took = self._waiting.setdefault(reader, deque()), 0.0
            while waiting and waiting[0][1] <= position:
                took = max(took, now - waiting.popleft()[0])
            if end > position and (not waiting or waiting[-1][1] < end) and len(waiting) < _REMEMBERED:
                waiting.append((now, end))
            if waiting:
                took = max(took, now - waiting[0][0])
            if took > worst.seconds and reader not in self._stuck:
                worst = Delay(took, reader[0])
        return worst

    def leave_out_stuck(self, since: Mapping[Reader, int]) -> None:
        """Ignore each reader that waits and stood still since these positions, until it moves: its worker does not run."""
        self._stuck = frozenset(
            reader for reader, waiting in self._waiting.items() if waiting and self._at[reader] == since.get(reader)
        )

    @property
    def positions(self) -> dict[Reader, int]:
        """The position of each reader at the last look."""
        return dict(self._at)


@dataclass(frozen=True)
class Pace:
    """`share`: of the time in which the replay may work. `usual`: seconds that live work takes without the replay."""

    usual: float = 0.0
    share: float = FIRST_SHARE
    last: Delay = Delay()

    @property
    def limit(self) -> float:
        """Seconds that live work may take before the replay is held back."""
        return max(BOUND * self.usual, TOLERATED_S)

    def heard(self, delay: Delay) -> "Pace":
        """The pace after a look: half of it if live work takes too long, else a little more."""
        share = max(LEAST_SHARE, self.share / 2) if delay.seconds > self.limit else min(1.0, self.share + STEP)
        return Pace(self.usual, share, delay)

    def pause_after(self, worked_s: float) -> float:
        """Seconds to rest after some seconds of work. Invariant: at least LEAST_SHARE of all time is work."""
        return min(worked_s * (1 / self.share - 1), max(LONGEST_PAUSE_S, worked_s))

    @property
    def says(self) -> str:
        """Why the replay is held back, in words; empty if it is not."""
        if self.share >= 1.0:
            return ""
        if self.last.seconds <= self.limit:
            return f"held back for live traffic: {self.share:.0%} of the time"
        return (
            f"held back for live traffic: {self.share:.0%} of the time; {self.last.group} takes"
            f" {self.last.seconds:.2f} s, {self.usual:.2f} s is usual"
        )


def usual_of(seen: Sequence[Delay]) -> float:
    """The usual delay, from looks while the replay rests: nine of ten are no longer."""
    ordered = sorted(one.seconds for one in seen)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))] if ordered else 0.0
