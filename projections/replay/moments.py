"""The moment of a snapshot: which records of the log it holds, and the note by which a killed as-of goes on.

Records are taken by their place in the log (appended before a time, or before a position), and events also by the time at
which they occurred, as their senders said it. The second leaves out events at any place; what voids them, or parks a
stream, counts whenever it occurred.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from refold.projections.errors import MomentOpen, SnapshotInvalid
from refold.projections.live.limits import parked
from refold.projections.partials.batch import ALL_BUILDS
from refold.projections.replay.building import Site
from refold.projections.replay.plan import places_of
from refold.projections.tables import builds, snapshots, tables
from refold.projections.tables.builds import GROUP
from refold.projections.tables.layout import Layout
from refold.streams.chunk import Place
from refold.streams.core.limits import group_positions
from refold.streams.kafka.offsets import offsets_at
from refold.streams.postgres.connection import Database

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CATCHES_UP_S = 10.0
"""Longest wait until live tables have folded a time that has just passed."""
Positions = list[tuple[str, int, int]]
"""Topic without prefix, partition, next offset."""


@dataclass(frozen=True)
class Moment:
    """All records appended before a time, or before a position in each partition, or up to where live tables stand.

    `positions` are by topic without prefix, and partition; a partition that is not named is at 0. `occurred_before`: only
    events of these that occurred before this time.
    """

    before: datetime | None = None
    positions: Mapping[tuple[str, int], int] | None = None
    occurred_before: datetime | None = None

    @property
    def name(self) -> str:
        """The name of its snapshot if nobody gives one."""
        place = _named_after(self.before) if self.before is not None else ""
        if self.positions is not None:
            place = f"position-{sum(self.positions.values())}"
        if self.occurred_before is None:
            return place
        return (
            f"{place}-of-{_named_after(self.occurred_before)}"
            if place
            else f"occurred-{_named_after(self.occurred_before)}"
        )


def _named_after(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dt%H%M%S}{f'-{us:06d}' if (us := at.microsecond) else ''}z"


class Note(msgspec.Struct, frozen=True, tag_field="kind", tag="as-of"):
    """What an as-of under way folds, kept as the comment of its table. `parked`: streams that wait for all models.

    A command goes on with a build only if its own note is the same: then every record that is still to be read means
    what it meant before the kill.
    """

    name: str
    before: str | None
    occurred_before: str | None
    upto: Positions
    parked: Positions

    @property
    def text(self) -> str:
        """The comment."""
        return msgspec.json.encode(self).decode()


def note_of(site: Site, name: str, moment: Moment, upto: Mapping[Place, int]) -> Note:
    """The note of a moment that has been reached."""
    prefix = site.settings.topic_prefix
    return Note(
        name, said(moment.before), said(moment.occurred_before), _positions(upto, prefix), waiting_streams(site.db)
    )


def waiting_streams(db: Database) -> Positions:
    """The streams that wait for all models. If one is released, later events of it no longer follow those that were left out."""
    return sorted(
        (f"{one.category} {one.stream}", one.part, one.first_offset) for one in parked(db) if one.build == ALL_BUILDS
    )


def said(at: datetime | None) -> str | None:
    """A time as a snapshot tells it."""
    return None if at is None else at.isoformat()


def reached(site: Site, layouts: Sequence[Layout], name: str, moment: Moment) -> dict[Place, int]:
    """The moment's position in each partition, once the live tables have passed it. Raises MomentOpen, SnapshotInvalid."""
    places = places_of(site.settings, layouts)
    if moment.before is not None:
        upto = _at_time(site, places, moment.before)
    elif moment.positions is not None:
        upto = _named(site, places, moment.positions)
    else:
        return _as_live_tables_stand(site, layouts, name, moment)
    until = time.monotonic() + _CATCHES_UP_S
    while True:
        stands = group_positions(site.db, GROUP)
        ahead = sorted(place for place, at in upto.items() if at > stands.get(place, 0))
        if not ahead:
            return upto
        if moment.before is None or time.monotonic() > until:
            topic, part = ahead[0]
            raise MomentOpen(
                f"the live tables have folded {topic}/{part} up to {stands.get((topic, part), 0)}, and the moment lies at {upto[topic, part]}"
            )
        time.sleep(0.1)


def _as_live_tables_stand(site: Site, layouts: Sequence[Layout], name: str, moment: Moment) -> dict[Place, int]:
    """Where live tables stand now; where they stood for a killed command of this name and time, or for its snapshots."""
    stands, prefix = group_positions(site.db, GROUP), site.settings.topic_prefix
    known: dict[Place, int] = {}
    for positions in _earlier(site, name, said(moment.occurred_before)):
        known |= {(prefix + topic, part): offset for topic, part, offset in positions}
    return {place: known.get(place, stands.get(place, 0)) for place in places_of(site.settings, layouts)}


def _earlier(site: Site, name: str, occurred_before: str | None) -> Iterable[Positions]:
    """The positions of unfinished builds, then those of snapshots, of one name and one time of occurrence."""
    for build in builds.builds(site.db):
        if build.purpose == "as-of" and (text := tables.note(site.db, build)):
            note = msgspec.json.decode(text, type=Note)
            if (note.name, note.before, note.occurred_before) == (name, None, occurred_before):
                yield note.upto
    for one in snapshots.snapshots(site.db):
        if (one.snapshot, one.at, one.occurred_before) == (name, None, occurred_before):
            yield one.positions


def _positions(upto: Mapping[Place, int], prefix: str) -> Positions:
    return sorted((topic.removeprefix(prefix), part, at) for (topic, part), at in upto.items())


def _at_time(site: Site, places: Sequence[Place], before: datetime) -> dict[Place, int]:
    if before > datetime.now(UTC):
        raise MomentOpen(f"{before.isoformat()} is not past yet, so more records may come before it")
    millis = -((_EPOCH - before) // timedelta(milliseconds=1))  # up: the broker's times are whole milliseconds
    return offsets_at(site.settings.kafka_servers(), places, max(millis, 0))


def _named(site: Site, places: Sequence[Place], positions: Mapping[tuple[str, int], int]) -> dict[Place, int]:
    prefix, asked = site.settings.topic_prefix, dict(positions)
    found = {place: asked.pop((place[0].removeprefix(prefix), place[1]), 0) for place in places}
    if asked:
        (topic, part), _ = min(asked.items())
        raise SnapshotInvalid(f"the position names {topic}/{part}, which none of the models reads")
    return found
