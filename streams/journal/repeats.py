"""Turns a repeated fault into one line, then now and then a line with a count, then one that says it is over. Pure.

first ──line──► known ──again, or time──► line with its count ──► … ──nothing for QUIET_S──► last line, forgotten
"""

from dataclasses import dataclass, replace
from math import inf

from refold.streams.journal.line import Fault, Line

FIRST_S, LONGEST_S = 10.0, 60.0
"""Seconds between two lines of a fault, at least: it doubles from the first value to the last."""
QUIET_S = 30.0
"""Seconds without a repeat after which a fault is over."""
MOST_FAULTS = 500
"""Most faults known at once. For a new one, the fault that has been silent longest is forgotten."""


@dataclass
class _Known:
    """A fault that was told. `untold`: repeats since. `told_at`, `again_at`: times of its last and its next line."""

    line: Line
    began: float
    last: float
    told_at: float
    again_at: float
    step: float = FIRST_S
    untold: int = 0
    total: int = 1

    @property
    def due(self) -> float:
        over = self.last + QUIET_S
        return min(self.again_at, over) if self.untold else over


class Repeats:
    """The faults of one process. Times are seconds of any clock that never goes back."""

    def __init__(self) -> None:
        self._known: dict[Fault, _Known] = {}
        self._soonest = inf
        """Earliest time at which a fault may be due. Until then none is examined."""

    def take(self, line: Line, now: float) -> list[Line]:
        """The lines to write now that this one came."""
        found = self.due(now)
        if line.fault is None:
            return [*found, line]
        known = self._known.pop(line.fault, None)
        if known is None:
            if len(self._known) >= MOST_FAULTS:
                found += self._over(next(iter(self._known)), now)
            self._known[line.fault] = known = _Known(line, now, now, now, now + FIRST_S)
            self._soonest = min(self._soonest, known.due)
            return [*found, line]
        self._known[line.fault] = known  # the latest fault stands last
        known.line, known.last = replace(line, exception=None), now
        known.untold, known.total = known.untold + 1, known.total + 1
        told = self._told(known, now) if now >= known.again_at else []
        self._soonest = min(self._soonest, known.due)
        return [*found, *told]

    def due(self, now: float) -> list[Line]:
        """The lines to write because time has passed."""
        found: list[Line] = []
        if now < self._soonest:
            return found
        for fault, known in [*self._known.items()]:
            if now - known.last >= QUIET_S:
                found += self._over(fault, now)
            elif known.untold and now >= known.again_at:
                found += self._told(known, now)
        self._soonest = min((known.due for known in self._known.values()), default=inf)
        return found

    def next_due(self) -> float:
        """When `due` may next have lines; infinity if never."""
        return self._soonest

    def end(self, now: float) -> list[Line]:
        """The lines left to write when the process ends."""
        return [line for fault in [*self._known] for line in self._over(fault, now, "at the end of this process")]

    def _told(self, known: _Known, now: float) -> list[Line]:
        count, since = known.untold, now - known.told_at
        known.step = min(2 * known.step, LONGEST_S)
        known.untold, known.told_at, known.again_at = 0, now, now + known.step
        return [_with(known.line, f"{_times(count)} more in {since:.0f} s", count)]

    def _over(self, fault: Fault, now: float, when: str = "over") -> list[Line]:
        known = self._known.pop(fault)
        if known.total == 1 or (when != "over" and not known.untold):
            return []
        words = f"{when}: {_times(known.total)} in {known.last - known.began:.0f} s"
        if known.untold:
            words = f"{_times(known.untold)} more in {now - known.told_at:.0f} s; {words}"
        return [_with(known.line, words, known.untold, known.total)]


def _with(line: Line, words: str, count: int, total: int | None = None) -> Line:
    return replace(line, message=f"{line.message} ({words})", exception=None, count=count, total=total)


def _times(count: int) -> str:
    return "1 time" if count == 1 else f"{count} times"
