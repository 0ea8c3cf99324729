"""Places that the group has taken from this process, and that it still reads until another process can have them.

A cooperative group moves a place in two joins: the first tells its old owner to give it up, the second gives it to the
new one. librdkafka joins at most once a second, so the place would stand for a second. Nobody else owns it before the
second join is answered, and then every member is told at about the same time. So the old owner reads on until then.
If both read it for a moment, positions and claims let only one of them commit.

    nothing ──begin──► told twice more ──assigned──► told once more ──assigned──► nothing
                            └──────── begin, end, or KEEP_S seconds ─────────────────▲
"""

import time
from collections.abc import Callable, Iterable

from refold.streams.chunk import Place

KEEP_S = 5.0
"""Most seconds for which places are kept: less than a session (6 s), after which the group may give them away untold."""


class Handover:
    """Pure but for its clock; only the reading thread uses it. What a method returns must be given up at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._places = list[Place]()
        self._until = 0.0
        self._is_told = self._is_closed = False

    def begin(self, places: Iterable[Place]) -> list[Place]:
        """Keep the places that were taken away; those of an earlier rebalance are over, and all are after `close`."""
        over, self._places = self._places, list(places)
        self._is_told, self._until = False, self._clock() + KEEP_S
        return over + self.end() if self._is_closed else over

    def assigned(self, places: Iterable[Place]) -> list[Place]:
        """Note an assignment. The first one after `begin` still belongs to the same join, and ends nothing.

        It does if it gives a kept place back: such a place begins as any other does.
        """
        if self._is_told or not set(self._places).isdisjoint(places):
            return self.end()
        self._is_told = True
        return []

    def overdue(self) -> list[Place]:
        """The places, if they were kept for KEEP_S seconds."""
        return self.end() if self._places and self._clock() >= self._until else []

    def end(self) -> list[Place]:
        """All that is kept."""
        over, self._places = self._places, []
        return over

    def close(self) -> list[Place]:
        """All that is kept. From now on nothing is: the consumer closes."""
        self._is_closed = True
        return self.end()
