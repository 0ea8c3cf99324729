"""Says what a declaration would change for readers: folds the log into a build beside the live table, compares, drops it.

Invariant: the live tables, and everything that live folding reads, stay as they are. The build never joins the group.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from refold.projections.live import parking
from refold.projections.live.apart import stands_of_deploy
from refold.projections.replay import promote
from refold.projections.replay.build_list import size
from refold.projections.replay.builder import Builder, Progress, Target
from refold.projections.replay.building import Site, Start
from refold.projections.replay.compare import Compared, Difference, Differing
from refold.projections.replay.plan import Failed
from refold.projections.replay.preview_rows import Columns, columns_of, compare_shown, row_counts
from refold.projections.replay.preview_sampled import Sampled, ServedSide
from refold.projections.replay.rebuild_beside import fold_close, starts_beside
from refold.projections.replay.shares import fold_shares
from refold.projections.replay.source import Source
from refold.projections.replay.staging import Staging
from refold.projections.tables import builds, tables
from refold.projections.tables.builds import GROUP, Build
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.projections.tables.served import kept_beside
from refold.streams.core.limits import group_positions
from refold.streams.failpoints import failpoint
from refold.streams.postgres.connection import Database


@dataclass(frozen=True)
class Previewed(Differing):
    """One model. `why`: the reason why its rows could not be compared; `changes` is true then, too.

    `rows`, `served`: what readers would see, and see now. `added`, `removed`: columns with their types. `retyped`: served
    and new type. `columns`: in how many changed rows each column differs. `listed`: rows that differ, at most
    `compare.LISTED`. `parked`: streams that this code cannot read. `rebuild_s`, `rebuild_bytes`: what a rebuild takes.
    With `sampled`, rows are counted among the sample's alone, `rebuild_s` is the least that a rebuild takes, and `rebuild_bytes`
    is an estimate.
    """

    domain: str
    model: str
    build: int | None
    changes: bool
    rows: int
    served: int
    why: str | None = None
    added: dict[str, str] = field(default_factory=dict)
    removed: dict[str, str] = field(default_factory=dict)
    retyped: dict[str, tuple[str, str]] = field(default_factory=dict)
    changed: int = 0
    missing: int = 0
    extra: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    listed: list[Difference] = field(default_factory=list)
    parked: int = 0
    rebuild_s: float = 0.0
    rebuild_bytes: int = 0
    sampled: Sampled | None = None


@dataclass(frozen=True)
class PreviewReport:
    """The result of a preview. `failed`: the model, if this code cannot fold it."""

    changes: bool
    models: list[Previewed]
    records: int
    seconds: float
    records_per_s: int
    failed: list[Failed]
    held_s: float = 0.0


class PreviewBeside:
    """A preview while the live tables serve."""

    with_core = False
    compared_s = 0.0

    def __init__(self, site: Site, served: Declared) -> None:
        """`served`: the declarations of the configured domains."""
        self._site = site
        self._side = ServedSide(site, site.sample, served) if site.sample is not None else None

    def starts(self, layouts: Sequence[Layout]) -> dict[Start, list[Staging]]:
        """A new build of each model: one that a killed preview left may be of other code, and would take no time."""
        promote.drop_apart(self._site.db, layouts)
        starts = starts_beside(self._site, layouts)
        return starts if self._side is None else self._side.begin(starts)

    def fold(self, builder: Builder, target: Target, source: Source, progress: Progress) -> list[Previewed]:
        """Fold up to the live positions, compare there, and drop the builds. Raises CannotJoin."""
        site, began = self._site, time.perf_counter()
        fold_shares(site, builder, source, stands_of_deploy(site.db), progress)
        fold_close(site.db, builder, target, source, progress, stands_of_deploy)
        failpoint("replay.before-preview")
        promote.meet(site.db, site.reads, builder, source)
        seconds = round(time.perf_counter() - began, 2)
        failpoint("replay.after-preview")
        try:
            folded = [staging.build for staging in builder.staged]
            side = self._side
            new = [one for one in builder.staged if side is None or not side.is_ours(one.build)]
            return [self._previewed(staging, seconds, folded) for staging in new]
        finally:
            if not site.reads.closed:
                site.reads.execute("ROLLBACK")

    def _previewed(self, staging: Staging, seconds: float, folded: Sequence[Build]) -> Previewed:
        """Compare within the snapshot of `reads`."""
        db, build, layout, side = self._site.reads, staging.build, staging.layout, self._side
        name = (build.domain, build.model)
        live = builds.serving(builds.builds(db), *name)
        columns = columns_of(db, layout, build)
        why = _incomparable(db, layout, live, columns)
        if why is None and side is not None:
            why = side.why_not(layout, live, folded)
        if why is None:
            self._stands_beside(build)
            theirs = side.rows(layout, build) if side is not None else None
            found = compare_shown(db, layout, build, columns.same, theirs)
        else:
            found = Compared(*row_counts(db, layout, build), changed=0, missing=0, extra=0)
        return Previewed(
            *name,
            build=live.number if live else None,
            changes=why is not None or columns.change or found.differing > 0,
            rows=found.rows,
            served=found.served,
            why=why,
            added=columns.added,
            removed=columns.removed,
            retyped=columns.retyped,
            changed=found.changed,
            missing=found.missing,
            extra=found.extra,
            columns=found.columns,
            listed=found.listed,
            parked=parking.count(db, [build.number]),
            rebuild_s=seconds,
            rebuild_bytes=size(db, build) if side is None else side.bytes_of(build, live),
            sampled=side.sampled(layout, build, found) if side is not None and why is None else None,
        )

    def _stands_beside(self, build: Build) -> None:
        """Raise AssertionError if the build does not stand where the live tables stand."""
        stands = group_positions(self._site.reads, GROUP)
        at = group_positions(self._site.reads, build.group)
        if any(place in stands and stands[place] != offset for place, offset in at.items()):
            raise AssertionError(f"build {build.number} does not stand where the live tables stand")


def _incomparable(db: Database, layout: Layout, live: Build | None, columns: Columns) -> str | None:
    """The reason why rows cannot be matched in this snapshot."""
    if live is None:
        return "no table of it is built yet"
    if live.detached_code is not None:
        return f"the live table stands by itself ({live.detached_code}: {live.detached_reason})"
    if not columns.same and not columns.removed and not columns.retyped:
        return "somebody dropped its view"
    kept = kept_beside(db).get(live.number)
    served = list(kept.key) if kept is not None else layout.key_names
    if served != layout.key_names or not set(served) <= set(columns.same):
        return (
            f"its rows get another key: {_said(served, columns, 0)} before, {_said(layout.key_names, columns, 1)} then"
        )
    return None if tables.has_key(db, layout, live) else "the live table has lost its key, so rows may be doubled"


def _said(names: Sequence[str], columns: Columns, side: int) -> str:
    """A key's columns, with the type of one that is retyped. `side`: 0 for the served types, 1 for the new ones."""
    return ", ".join(f"{name} ({columns.retyped[name][side]})" if name in columns.retyped else name for name in names)
