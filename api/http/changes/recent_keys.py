"""The keys that the last records of a model's topics touched, kept for all who read its changes. Pure.

Invariant: for each place, every key that a counted event between `since` and `upto` touched is kept.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from refold.projections.partials.touched import Key
from refold.streams.chunk import Place

MOST_KEPT = 100_000
"""Most keys kept for a model; who is further behind reads its rows again, which is quicker by then."""


class RecentKeys:
    """Keys with the offset of the record that touched them, by place."""

    def __init__(self, at: Mapping[Place, int], most: int = MOST_KEPT) -> None:
        """Begins at these positions."""
        self.since, self.upto = dict(at), dict(at)
        self._most = most
        self._kept: dict[Place, list[tuple[int, Key]]] = {place: [] for place in at}

    def append(self, found: Mapping[Place, Sequence[tuple[int, Key]]], upto: Mapping[Place, int]) -> None:
        """Add what was read from `upto` on; the oldest are dropped once there are too many."""
        for place, end in upto.items():
            if place not in self._kept:
                self._kept[place], self.since[place] = [], 0
            self._kept[place] += found.get(place, ())
            self.upto[place] = end
        self._trim()

    def prepend(self, found: Mapping[Place, Sequence[tuple[int, Key]]], since: Mapping[Place, int]) -> None:
        """Add what was read before `since`."""
        for place, start in since.items():
            self._kept[place][:0] = found.get(place, ())
            self.since[place] = start

    def reaches(self, at: Mapping[Place, int]) -> bool:
        """Whether everything from these positions on is kept."""
        return all(at.get(place, 0) >= since for place, since in self.since.items())

    def unread(self, upto: Mapping[Place, int]) -> tuple[dict[Place, int], dict[Place, int]]:
        """The stretch between what is kept and these positions: its start and end, for all places."""
        start = {place: self.upto.get(place, 0) for place in upto}
        return start, {place: max(start[place], at) for place, at in upto.items()}

    def kept(self) -> int:
        """How many keys are kept."""
        return sum(map(len, self._kept.values()))

    def missing(self, at: Mapping[Place, int]) -> int:
        """How many records lie between these positions and the first that are kept."""
        return sum(max(0, since - at.get(place, 0)) for place, since in self.since.items())

    def between(self, start: Mapping[Place, int], end: Mapping[Place, int]) -> list[Key]:
        """The keys touched from `start` to before `end`, each once, in the order in which they were touched first."""
        found: dict[Key, None] = {}
        for place, kept in self._kept.items():
            low = bisect_left(kept, (start.get(place, 0),))
            high = bisect_left(kept, (end.get(place, 0),))
            found.update(dict.fromkeys(key for _, key in kept[low:high]))
        return list(found)

    def _trim(self) -> None:
        if self.kept() <= self._most:
            return
        for place, kept in self._kept.items():
            drop = len(kept) - self._most // (2 * len(self._kept))
            if drop > 0:
                self.since[place] = kept[drop - 1][0] + 1
                # Events of one record touch several keys: all of them go, or none.
                while drop < len(kept) and kept[drop][0] < self.since[place]:
                    drop += 1
                del kept[:drop]
