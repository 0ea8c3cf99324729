"""Places of the log that cannot be read on: bytes that are not those that were written, an offset that is missing, newer rules.

Such a place stops alone and says so; all others go on. It is read again every so often, for its log may have been restored.
"""

import logging
import time
from collections.abc import Iterable

from refold.streams import journal
from refold.streams.chunk import Place
from refold.streams.errors import LogCorrupt, LogHole, NewerRules
from refold.streams.standing import goes_on, waits

_log = logging.getLogger(__name__)
AGAIN_S = 10.0
"""After so long a stopped place is read again."""


class _Stop:
    """One place's stop, from its fault until the first record behind it."""


class StoppedPlaces:
    """Of one reader, whose thread alone calls it."""

    def __init__(self) -> None:
        self._stops: dict[Place, _Stop] = {}
        self._again_at: dict[Place, float] = {}

    def __contains__(self, place: Place) -> bool:
        """Whether nothing of the place is taken now."""
        return place in self._again_at

    def stop(self, place: Place, problem: LogCorrupt | LogHole | NewerRules) -> None:
        """Take nothing of the place for a while. A log is told once, however often the place is read again."""
        if waits(self._stops.setdefault(place, _Stop()), f"{problem.code}: {problem.message}"):
            _log.error(
                "%s: %s. This partition stands, others go on. %s",
                problem.code,
                problem.message,
                problem.remedy,
                extra=journal.about(problem, place=place),
            )
        self._again_at[place] = time.monotonic() + AGAIN_S

    def due(self) -> list[Place]:
        """Places that are to be read again now."""
        if not self._again_at:
            return []
        now = time.monotonic()
        return [place for place, at in self._again_at.items() if at <= now]

    def reads_again(self, place: Place) -> None:
        """What comes of the place is taken again; whether it is sound will be seen."""
        self._again_at.pop(place, None)

    def goes_on(self, place: Place) -> None:
        """A sound record has come. Costs nothing where no place has stopped."""
        if self._stops and place in self._stops:
            goes_on(self._stops.pop(place))
            _log.warning("%s/%s is read on", *place, extra=journal.about(place=place))

    def forget(self, places: Iterable[Place]) -> None:
        """They are not ours any more."""
        for place in places:
            self._again_at.pop(place, None)
            if (stop := self._stops.pop(place, None)) is not None:
                goes_on(stop)
