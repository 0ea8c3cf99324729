"""Decides how long a reader gathers records before it hands them over.

A transaction costs the same for ten records as for a hundred. From about 300 records a second on the reader gathers
for up to 12 ms: else core and models follow the handler so closely that they take the CPU it needs. It stops after 3
ms without a record, since no more are on their way then: clients that wait for one commit send their next commands
together. From about 5,000 a second on nobody waits for a single record, and it gathers for 80 ms; a reader for whom
nobody waits does so from about 2,000 a second on. It does not delay single commands.
"""

import time

_HALF_S, BUSY_RECORDS, MANY_RECORDS, FLOOD_RECORDS = 0.05, 20, 150, 400
GATHER_S, QUIET_S, LONG_S = 0.012, 0.003, 0.08


class Pace:
    """One reader's recent reads. `chunk`: most records that it reads at once. `least_s`: seconds it always gathers."""

    def __init__(self, chunk: int, least_s: float) -> None:
        self._chunk, self._least_s = chunk, least_s
        self._last, self._at, self.recent = 0, 0.0, 0.0

    def remember(self, records: int) -> None:
        """Add a read to a decaying sum. One read's size says little: after a large read come small ones."""
        now = time.monotonic()
        self.recent = self.recent * 0.5 ** ((now - self._at) / _HALF_S) + records
        self._last, self._at = records, now

    def next(self) -> tuple[float, float]:
        """Seconds from one look for records to the next, and the seconds for which looks go on while records come."""
        if self._last >= self._chunk // 2:
            return 0.0, 0.0
        if self.recent >= (MANY_RECORDS if self._least_s else FLOOD_RECORDS):
            return max(LONG_S, self._least_s), 0.0
        if self._least_s:
            return self._least_s, 0.0
        return (QUIET_S, GATHER_S) if self.recent >= BUSY_RECORDS else (0.0, 0.0)
