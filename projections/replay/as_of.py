"""Takes snapshots: folds the log up to a position or a time into builds of their own, and keeps their tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from refold.projections.declaring.declaration import View
from refold.projections.errors import SnapshotExists, ViewInvalid
from refold.projections.live import parking
from refold.projections.partials.batch import ALL_BUILDS
from refold.projections.replay import promote
from refold.projections.replay.builder import Builder, Progress, Target
from refold.projections.replay.building import Site, Start
from refold.projections.replay.fold_log import fold_log
from refold.projections.replay.moments import Moment, note_of, reached, said
from refold.projections.replay.plan import Failed, places_of
from refold.projections.replay.rebuild_beside import starts_beside
from refold.projections.replay.source import Source
from refold.projections.replay.staging import Staging
from refold.projections.tables import snapshots
from refold.projections.tables.layout import Layout
from refold.projections.tables.snapshot_views import keep_view
from refold.projections.tables.snapshots import Snapshot
from refold.streams.chunk import Place
from refold.streams.failpoints import failpoint


@dataclass(frozen=True)
class SnapshotReport:
    """The result of an as-of. `failed`: models that this code cannot fold; the snapshot lacks them."""

    name: str
    models: list[Snapshot]
    records: int
    seconds: float
    records_per_s: int
    failed: list[Failed]
    held_s: float = 0.0


class AsOf:
    """A fold up to a moment, beside the live tables."""

    with_core = False
    compared_s = 0.0

    def __init__(self, site: Site, name: str, moment: Moment, views: Sequence[View] = ()) -> None:
        """`views`: those that are kept over the tables."""
        self._site, self._name, self._moment, self._views = site, name, moment, views
        self.failed: list[Failed] = []
        self._upto: dict[Place, int] = {}
        self._folded: list[Staging] = []

    def starts(self, layouts: Sequence[Layout]) -> dict[Start, list[Staging]]:
        """A build of each model, those of a killed command of this moment first.

        Raises SnapshotExists, MomentOpen, SnapshotInvalid.
        """
        self._upto = reached(self._site, layouts, self._name, self._moment)
        self._refuse_other(layouts)
        note = note_of(self._site, self._name, self._moment, self._upto)
        return starts_beside(replace(self._site, note=note.text), layouts)

    def fold(self, builder: Builder, target: Target, source: Source, progress: Progress) -> list[Snapshot]:
        """Fold up to the moment; nothing is kept yet."""
        upto = {place: self._upto[place] for place in source.position}
        fold_log(source, target, upto, progress, builder.ahead, to_finish=True)
        builder.finish()
        self._folded += builder.staged
        return []

    def keep(self) -> list[Snapshot]:
        """Keep the tables of all models in one transaction."""
        failpoint("replay.before-keep")
        with self._site.db.transaction():
            kept = [self._keep(staging) for staging in self._folded]
            kept += self._keep_views({f"{one.domain}.{one.model}": one for one in kept})
            failpoint("replay.within-keep")
        failpoint("replay.after-keep")
        there = {
            (one.domain, one.model): one for one in snapshots.snapshots(self._site.db) if one.snapshot == self._name
        }
        return [there.get((one.domain, one.model), one) for one in kept]  # with the bytes that they take now

    def _keep(self, staging: Staging) -> Snapshot:
        db, build, layout = self._site.db, staging.build, staging.layout
        found = Snapshot(
            self._name,
            build.domain,
            build.model,
            self._positions(layout),
            said(self._moment.before),
            self._site.found.fingerprints[build.domain, build.model],
            datetime.now(UTC).isoformat(timespec="seconds"),
            snapshots.described(layout),
            parked=parking.count(db, [ALL_BUILDS, build.number]),
            occurred_before=said(self._moment.occurred_before),
        )
        kept = snapshots.keep(db, layout, build, found)
        promote.drop(db, build)
        return kept

    def _keep_views(self, tables: Mapping[str, Snapshot]) -> list[Snapshot]:
        """Keep the views; one that cannot be made is among `failed`, and what can be made goes on."""
        kept = []
        for view in self._views:
            try:
                kept.append(keep_view(self._site.db, self._site.found, view, tables))
            except ViewInvalid as problem:
                self.failed.append(Failed(view.domain, view.name, problem.code, problem.message))
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
            other = one.occurred_before != said(self._moment.occurred_before)
            if other or any(upto.get((topic, part), offset) != offset for topic, part, offset in one.positions):
                raise SnapshotExists(f"the snapshot {one.snapshot} of {one.model} is of another moment: {one.position}")
