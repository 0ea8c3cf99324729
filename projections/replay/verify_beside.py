"""Verifies live tables: folds the log into builds beside them, compares both in one snapshot, and drops the builds.

Invariant: the live tables, and everything that live folding reads, stay as they are. The builds never join the group.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from refold.projections.live import parking
from refold.projections.replay import promote
from refold.projections.replay.builder import Builder, Progress, Target
from refold.projections.replay.building import Site, Start
from refold.projections.replay.compare import Difference, Differing
from refold.projections.replay.judging import compared_or_damaged
from refold.projections.replay.moments import waiting_streams
from refold.projections.replay.plan import Failed, places_of
from refold.projections.replay.rebuild_beside import fold_close, goal, starts_beside
from refold.projections.replay.shares import fold_shares
from refold.projections.replay.source import Source
from refold.projections.replay.staging import Staging
from refold.projections.tables import builds
from refold.projections.tables.builds import GROUP, Build
from refold.projections.tables.layout import Layout
from refold.streams.core.limits import group_positions
from refold.streams.failpoints import failpoint


@dataclass(frozen=True)
class Verified(Differing):
    """One model. `why`: the reason why its live table could not be compared; `equal` is false then, too.

    `rows`, `served`: of the log and of the live table. `columns`: in how many rows each column differs. `listed`: rows
    that differ, at most `compare.LISTED`. `parked`: streams that this code cannot read, though live code may.
    """

    domain: str
    model: str
    build: int | None
    equal: bool
    why: str | None = None
    rows: int = 0
    served: int = 0
    changed: int = 0
    missing: int = 0
    extra: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    listed: list[Difference] = field(default_factory=list)
    parked: int = 0


@dataclass(frozen=True)
class VerifyReport:
    """The result of a verify. `failed`: models that this code cannot fold."""

    equal: bool
    models: list[Verified]
    records: int
    events: int
    seconds: float
    records_per_s: int
    failed: list[Failed]
    held_s: float = 0.0


class VerifyBeside:
    """A verify while the live tables serve."""

    with_core = False
    compared_s = 0.0

    def __init__(self, site: Site) -> None:
        self._site = site

    def starts(self, layouts: Sequence[Layout]) -> dict[Start, list[Staging]]:
        """A build of each model, those of a killed verify first. A repair has builds of the same purpose, with some rows only."""
        note = msgspec.json.encode({"kind": "verify", "parked": waiting_streams(self._site.db)}).decode()
        return starts_beside(replace(self._site, note=note), layouts)

    def fold(self, builder: Builder, target: Target, source: Source, progress: Progress) -> list[Verified]:
        """Fold up to the live positions, compare there, and drop the builds. Raises CannotJoin."""
        site = self._site
        fold_shares(site, builder, source, goal(site.db, list(source.position)), progress)
        fold_close(site.db, builder, target, source, progress)
        failpoint("replay.before-meet")
        promote.meet(site.db, site.reads, builder, source)
        failpoint("replay.after-meet")
        try:
            return [self._compared(staging) for staging in builder.staged]
        finally:
            if not site.reads.closed:
                site.reads.execute("ROLLBACK")

    def _compared(self, staging: Staging) -> Verified:
        """Compare within the snapshot of `reads`."""
        db, build, layout = self._site.reads, staging.build, staging.layout
        name = (build.domain, build.model)
        live = builds.serving(builds.builds(db), *name)
        if (why := self._incomparable(layout, build, live)) is not None or live is None:
            return Verified(*name, live.number if live else None, equal=False, why=why)
        found, damaged = compared_or_damaged(db, layout, build, live)
        if found is None:
            return Verified(*name, live.number, equal=False, why=f"the live table was altered: {damaged}")
        return Verified(
            *name, live.number, found.differing == 0, None, found.rows, found.served, found.changed, found.missing,
            found.extra, found.columns, found.listed, parking.count(db, [build.number]),
        )  # fmt: skip

    def _incomparable(self, layout: Layout, build: Build, live: Build | None) -> str | None:
        """The reason why both tables cannot be compared in this snapshot."""
        if live is None:
            return "no table of it is built yet"
        if live.detached_code is not None:
            return f"the live table stands by itself ({live.detached_code}: {live.detached_reason})"
        if build.fingerprint != builds.VERIFIED + live.fingerprint:
            return f"the live table is of the declaration {live.fingerprint}, which this code lacks"
        stands = group_positions(self._site.reads, GROUP)
        at = group_positions(self._site.reads, build.group)
        places = places_of(self._site.settings, [layout])  # before a kill it may have read others for other models
        if any(stands.get(place, 0) != at.get(place, 0) for place in places):
            raise AssertionError(f"build {build.number} does not stand where the live table stands")
        return None
