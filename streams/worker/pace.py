"""How long a reader gathers records before it hands them over.

A transaction costs the same for ten records as for a hundred. From some 300 a second on it is worth up to 30 ms to gather more of them:
without, core and models follow the handler so closely that they take the CPU it needs. Where nothing came for 6 ms nothing more is on its
way: many clients who wait for one commit send their next commands at once. From some 2,000 a second on nobody waits for a single one, and
80 ms are gathered. Few single commands are not made to wait.
"""

import time

_HALF_S, BUSY_RECORDS, MANY_RECORDS = 0.05, 20, 150
GATHER_S, QUIET_S, LONG_S = 0.03, 0.006, 0.08


class Pace:
    """What one reader has read of late. `chunk`: the most that it reads at once; `least_s`: what it always gathers for."""

    def __init__(self, chunk: int, least_s: float) -> None:
        self._chunk, self._least_s = chunk, least_s
        self._last, self._at, self.recent = 0, 0.0, 0.0

    def remember(self, records: int) -> None:
        """A read's size alone says little, since a large one is followed by small ones of what came meanwhile."""
        now = time.monotonic()
        self.recent = self.recent * 0.5 ** ((now - self._at) / _HALF_S) + records
        self._last, self._at = records, now

    def next(self) -> tuple[float, float]:
        """Seconds from one look to the next, and for how long there is a next one while something came."""
        if self._last >= self._chunk // 2:
            return 0.0, 0.0
        if self.recent >= MANY_RECORDS:
            return max(LONG_S, self._least_s), 0.0
        if self._least_s:
            return self._least_s, 0.0
        return (QUIET_S, GATHER_S) if self.recent >= BUSY_RECORDS else (0.0, 0.0)
