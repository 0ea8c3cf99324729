"""Tracks places of the log at which reading stops: corrupt bytes, a missing offset, or newer rules.

Such a place stops alone and reports it; all others go on. It is read again at intervals, since its log may have been
restored.
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
"""Seconds after which a stopped place is read again."""


class _Stop:
    """The stop of one place, from its fault until the first record after it."""


class StoppedPlaces:
    """The stopped places of one reader; only its thread calls this."""

    def __init__(self) -> None:
        self._stops: dict[Place, _Stop] = {}
        self._again_at: dict[Place, float] = {}

    def __contains__(self, place: Place) -> bool:
        """Whether the place is stopped, so that none of its records is taken."""
        return place in self._again_at

    def stop(self, place: Place, problem: LogCorrupt | LogHole | NewerRules) -> None:
        """Stop the place for a while. The fault is logged once, however often the place is read again."""
        if waits(self._stops.setdefault(place, _Stop()), f"{problem.code}: {problem.message}"):
            _log.error(
                "%s: %s. This partition stops, others go on. %s",
                problem.code,
                problem.message,
                problem.remedy,
                extra=journal.about(problem, place=place),
            )
        self._again_at[place] = time.monotonic() + AGAIN_S

    def due(self) -> list[Place]:
        """The places to read again now."""
        if not self._again_at:
            return []
        now = time.monotonic()
        return [place for place, at in self._again_at.items() if at <= now]

    def reads_again(self, place: Place) -> None:
        """Take the place's records again; they may prove faulty again."""
        self._again_at.pop(place, None)

    def goes_on(self, place: Place) -> None:
        """A sound record has come. Costs nothing while no place is stopped."""
        if self._stops and place in self._stops:
            goes_on(self._stops.pop(place))
            _log.warning("%s/%s is read on", *place, extra=journal.about(place=place))

    def forget(self, places: Iterable[Place]) -> None:
        """Forget places that this reader lost."""
        for place in places:
            self._again_at.pop(place, None)
            if (stop := self._stops.pop(place, None)) is not None:
                goes_on(stop)
