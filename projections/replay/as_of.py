"""Takes snapshots: folds the log up to a position or a time into builds of their own, and keeps their tables."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from refold.projections.errors import MomentOpen, SnapshotExists, SnapshotInvalid
from refold.projections.replay import promote
from refold.projections.replay.builder import Builder, Progress, Target, fold_log
from refold.projections.replay.building import Site, Start
from refold.projections.replay.plan import Failed, places_of
from refold.projections.replay.rebuild_beside import starts_beside
from refold.projections.replay.source import Source
from refold.projections.replay.staging import Staging
from refold.projections.tables import snapshots
from refold.projections.tables.builds import GROUP
from refold.projections.tables.layout import Layout
from refold.projections.tables.snapshots import Snapshot
from refold.streams.chunk import Place
from refold.streams.core.limits import group_positions
from refold.streams.failpoints import failpoint
from refold.streams.kafka.offsets import offsets_at

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CATCHES_UP_S = 10.0
"""Longest wait until live tables have folded a time that has just passed."""


@dataclass(frozen=True)
class Moment:
    """A moment of the log: all records appended before a time, or before a position in each partition.

    `positions` are by topic without prefix, and partition; a partition that is not named is at 0.
    """

    before: datetime | None = None
    positions: Mapping[tuple[str, int], int] | None = None

    @property
    def name(self) -> str:
        """The name of its snapshot if nobody gives one."""
        if self.before is not None:
            return (
                f"{self.before.astimezone(UTC):%Y%m%dt%H%M%S}{f'-{us:06d}' if (us := self.before.microsecond) else ''}z"
            )
        return f"position-{sum((self.positions or {}).values())}"


@dataclass(frozen=True)
class SnapshotReport:
    """The result of an as-of. `failed`: models that this code cannot fold; the snapshot lacks them."""

    name: str
    models: list[Snapshot]
    records: int
    seconds: float
    records_per_s: int
    failed: list[Failed]


class AsOf:
    """A fold up to a moment, beside the live tables."""

    with_core = False
    compared_s = 0.0

    def __init__(self, site: Site, name: str, moment: Moment) -> None:
        self._site, self._name, self._moment = site, name, moment
        self._upto: dict[Place, int] = {}

    def starts(self, layouts: Sequence[Layout]) -> dict[Start, list[Staging]]:
        """A new build of each model, all at the log's beginning. Raises SnapshotExists, MomentOpen, SnapshotInvalid."""
        self._upto = _reached(self._site, layouts, self._moment)
        self._refuse_other(layouts)
        return starts_beside(self._site, layouts)

    def fold(self, builder: Builder, target: Target, source: Source, progress: Progress) -> list[Snapshot]:
        """Fold up to the moment, and keep the tables in one transaction."""
        upto = {place: self._upto[place] for place in source.position}
        fold_log(source, target, upto, progress, builder.ahead)
        builder.finish()
        failpoint("replay.before-keep")
        with self._site.db.transaction():
            kept = [self._keep(staging) for staging in builder.staged]
            failpoint("replay.within-keep")
        failpoint("replay.after-keep")
        there = {
            (one.domain, one.model): one for one in snapshots.snapshots(self._site.db) if one.snapshot == self._name
        }
        return [there.get((one.domain, one.model), one) for one in kept]  # with the bytes that they take now

    def _keep(self, staging: Staging) -> Snapshot:
        db, build, layout = self._site.db, staging.build, staging.layout
        row = db.execute("SELECT count(*) FROM refold.parked WHERE build IN (0, %s)", (build.number,)).fetchone()
        before = self._moment.before
        found = Snapshot(
            self._name,
            build.domain,
            build.model,
            self._positions(layout),
            None if before is None else before.isoformat(),
            self._site.found.fingerprints[build.domain, build.model],
            datetime.now(UTC).isoformat(timespec="seconds"),
            snapshots.described(layout),
            parked=int(row[0]) if row is not None else 0,
        )
        kept = snapshots.keep(db, layout, build, found)
        promote.drop(db, build)
        return kept

    def _positions(self, layout: Layout) -> list[tuple[str, int, int]]:
        places, prefix = places_of(self._site.settings, [layout]), self._site.settings.topic_prefix
        return [(topic.removeprefix(prefix), part, self._upto[topic, part]) for topic, part in places]

    def _refuse_other(self, layouts: Sequence[Layout]) -> None:
        """One name is one moment, and a snapshot never changes. Raises SnapshotExists, SnapshotInvalid."""
        wanted = {(layout.model.domain, layout.name) for layout in layouts}
        for domain in {layout.model.domain for layout in layouts}:
            snapshots.schema_of(domain, self._name)
        prefix = self._site.settings.topic_prefix
        upto = {(topic.removeprefix(prefix), part): at for (topic, part), at in self._upto.items()}
        for one in snapshots.snapshots(self._site.db):
            if one.snapshot != self._name:
                continue
            if (one.domain, one.model) in wanted:
                raise SnapshotExists(f"{one.domain}.{one.model} has a snapshot {one.snapshot}, at {one.position}")
            if any(upto.get((topic, part), offset) != offset for topic, part, offset in one.positions):
                raise SnapshotExists(f"the snapshot {one.snapshot} of {one.model} is of another moment: {one.position}")


def _reached(site: Site, layouts: Sequence[Layout], moment: Moment) -> dict[Place, int]:
    """The moment's position in each partition, once the live tables have passed it. Raises MomentOpen, SnapshotInvalid."""
    places = places_of(site.settings, layouts)
    upto = _at_time(site, places, moment.before) if moment.before is not None else _named(site, places, moment)
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


def _at_time(site: Site, places: Sequence[Place], before: datetime) -> dict[Place, int]:
    if before > datetime.now(UTC):
        raise MomentOpen(f"{before.isoformat()} is not past yet, so more records may come before it")
    millis = -((_EPOCH - before) // timedelta(milliseconds=1))  # up: the broker's times are whole milliseconds
    return offsets_at(site.settings.kafka_servers(), places, max(millis, 0))


def _named(site: Site, places: Sequence[Place], moment: Moment) -> dict[Place, int]:
    prefix, asked = site.settings.topic_prefix, dict(moment.positions or {})
    found = {place: asked.pop((place[0].removeprefix(prefix), place[1]), 0) for place in places}
    if asked:
        (topic, part), _ = min(asked.items())
        raise SnapshotInvalid(f"the position names {topic}/{part}, which none of the models reads")
    return found
