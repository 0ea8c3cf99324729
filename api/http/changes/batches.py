"""A cohort's next batch: the rows of the keys that were touched since its place, in the snapshot of the moment it gets to."""

from collections.abc import Iterable, Sequence

from refold.api.http.changes import events
from refold.api.http.changes.cohorts import Cohort
from refold.api.http.changes.ids import written
from refold.api.http.changes.moment import Moment
from refold.api.http.changes.recent_keys import RecentKeys
from refold.api.http.changes.selection import MOST_ROWS, Asked
from refold.api.http.reads.positions import Positions as Named
from refold.api.http.reads.positions import token
from refold.api.http.reads.services import Fetch

MOST_CHANGED = 20_000
"""Most keys of a batch; beyond it clients read their rows again."""


async def tell(fetch: Fetch, cohort: Cohort, now: Moment, recent: RecentKeys, reset: str | None, prefix: str) -> None:
    """Send the cohort what changed up to the moment, and let it stand there. One that is ahead of the moment waits.

    Raises psycopg.Error for a statement that Postgres refuses.
    """
    named = {(topic.removeprefix(prefix), part): at for (topic, part), at in now.positions.items()}
    place = written(now.mark, named)
    if reset is not None:
        cohort.send(await _again(fetch, cohort, now, place, named, reset), place)
    elif cohort.at is None:
        cohort.send(await _first(fetch, cohort, now, place, named), place)
    elif any(at > now.positions.get(there, 0) for there, at in cohort.at.items()):
        return
    else:
        keys = recent.between(cohort.at, now.positions)
        if len(keys) > MOST_CHANGED:
            cohort.send(await _again(fetch, cohort, now, place, named, "too-many-changes"), place)
        else:
            changed = await _rows(fetch, cohort.selection.changed(keys))
            if changed or cohort.is_new or cohort.detached != now.detached:
                batch = _written(changed) + events.position(place, now.about(token(named)))
                cohort.send(batch, place)
            else:
                cohort.note(place)
    cohort.at, cohort.mark = now.positions, now.mark
    cohort.is_new, cohort.detached = False, now.detached


async def _first(fetch: Fetch, cohort: Cohort, now: Moment, place: str, named: Named) -> bytes:
    """All rows, if the client begins with them, and the place."""
    if not cohort.rows:
        return events.position(place, now.about(token(named)))
    rows = await _rows(fetch, [cohort.selection.whole()])
    if len(rows) > MOST_ROWS:
        return events.reset(place, "too-many-rows", rows_follow=False)
    return _written(rows) + events.position(place, now.about(token(named)))


async def _again(fetch: Fetch, cohort: Cohort, now: Moment, place: str, named: Named, reason: str) -> bytes:
    """A reset; then all rows, if the client begins with them. Then the rows' last event has the id, not the reset."""
    if cohort.rows:
        rows = await _rows(fetch, [cohort.selection.whole()])
        if len(rows) <= MOST_ROWS:
            said = events.reset(None, reason, rows_follow=True)
            return said + _written(rows) + events.position(place, now.about(token(named)))
    return events.reset(place, reason, rows_follow=False)


async def _rows(fetch: Fetch, asked: Iterable[Asked]) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for statement, values in asked:
        found += await fetch(statement, values)
    return found


def _written(rows: Sequence[tuple[str, str | None]]) -> bytes:
    return b"".join(events.removed(key) if row is None else events.row(row) for key, row in rows)
