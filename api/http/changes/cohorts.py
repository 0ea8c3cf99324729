"""Groups subscribers who see the same rows and have got them up to the same place: one batch serves all of them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from refold.api.http.changes import metrics
from refold.api.http.changes.ids import Since
from refold.api.http.changes.key_reader import Positions
from refold.api.http.changes.selection import Selection
from refold.api.http.changes.subscriber import Subscriber


@dataclass(frozen=True)
class Start:
    """Where a stream begins: behind a place, or now. `rows`: whether it sends all rows first when it begins now or has to begin again."""

    since: Since | None = None
    rows: bool = False


@dataclass(eq=False)
class Cohort:
    """Subscribers of one selection who all stand at one place; `at` None: they have nothing yet."""

    selection: Selection
    rows: bool
    at: Positions | None
    mark: str | None
    subscribers: list[Subscriber] = field(default_factory=list)
    is_new: bool = True
    detached: str | None = None
    """Why the table stood still when they were last told of it."""

    @property
    def name(self) -> tuple[str, bool]:
        return self.selection.name, self.rows

    def send(self, batch: bytes, place: str) -> None:
        """The same bytes to each."""
        metrics.BATCHES.labels(self.selection.model.name).inc()
        metrics.SENT.labels(self.selection.model.name).inc(len(self.subscribers))
        for one in self.subscribers:
            one.put(batch, place)

    def note(self, place: str) -> None:
        """Tell each, now and then, that nothing has changed up to this place."""
        for one in self.subscribers:
            one.note(place)

    def end(self, code: str, message: str) -> None:
        """End the streams of all."""
        for one in self.subscribers:
            one.end(code, message)


def merged(cohorts: Iterable[Cohort]) -> list[Cohort]:
    """The cohorts that have anybody; those at one place become one. Subscribers whose streams have ended are left out."""
    found: dict[tuple[object, ...], Cohort] = {}
    for cohort in cohorts:
        cohort.subscribers = [one for one in cohort.subscribers if one.ended is None]
        if not cohort.subscribers:
            continue
        at = None if cohort.at is None else tuple(sorted(cohort.at.items()))
        same = found.setdefault((*cohort.name, at, cohort.mark, cohort.is_new), cohort)
        if same is not cohort:
            same.subscribers += cohort.subscribers
    return list(found.values())
