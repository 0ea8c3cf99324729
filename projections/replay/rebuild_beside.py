"""Rebuilds beside the live tables: fold, join them at one position, compare, and promote what the gates allow."""

import time
from collections.abc import Callable, Mapping, Sequence

from refold.projections.replay import promote
from refold.projections.replay.builder import Builder, Progress, Target
from refold.projections.replay.building import Site, Start
from refold.projections.replay.evolve_notes import park_for_build
from refold.projections.replay.fold_log import fold_log
from refold.projections.replay.gates import Gates, Judged
from refold.projections.replay.judging import judged
from refold.projections.replay.plan import Rebuilt
from refold.projections.replay.shares import fold_shares
from refold.projections.replay.source import Source
from refold.projections.replay.staging import Staging
from refold.projections.replay.together import Fold, fold_together
from refold.projections.tables.builds import GROUP, Build
from refold.projections.tables.layout import Layout
from refold.streams.chunk import Place
from refold.streams.core.limits import group_positions
from refold.streams.failpoints import failpoint
from refold.streams.postgres.connection import Database

_CLOSE_RECORDS = 20_000
"""Most records that may be left when the join locks the live tables."""


def goal(db: Database, places: Sequence[Place]) -> dict[Place, int]:
    """The positions up to which a rebuild reads: those of the live tables."""
    stands = group_positions(db, GROUP)
    return {place: stands.get(place, 0) for place in places}


class RebuildBeside:
    """A rebuild while the live tables serve; each build joins them at their positions."""

    with_core = False

    def __init__(self, site: Site, gates: Gates, joined: Sequence[tuple[Layout, Build]] = ()) -> None:
        """`gates`: the changes to what readers see that are allowed. `joined`: builds that a killed command has let join."""
        self._site, self._gates, self.compared_s = site, gates, 0.0
        self._joined = list(joined)

    def starts(self, layouts: Sequence[Layout]) -> dict[Start, list[Staging]]:
        """A build of each model, unfinished ones first, grouped by position."""
        return starts_beside(self._site, layouts)

    def fold(self, builder: Builder, target: Target, source: Source, progress: Progress) -> list[Rebuilt]:
        """Read until little is left, and fold the rest under the group's lock. Nothing is promoted yet."""
        upto = goal(self._site.db, list(source.position))
        fold_shares(self._site, builder, source, upto, progress)
        fold_together(Fold(self._site, builder, target, dict(source.position), upto, progress), source)
        fold_close(self._site.db, builder, target, source, progress)
        failpoint("replay.before-join")
        promote.join(self._site.db, builder, source)
        failpoint("replay.after-join")
        self._joined += [(staging.layout, staging.build) for staging in builder.staged]
        return []

    def promote(self) -> list[Rebuilt]:
        """Compare every build that has joined, and show all of them in one transaction. Raises the errors of the gates."""
        began = time.perf_counter()
        found = [judged(self._site.db, layout, build) for layout, build in self._joined]
        for one in found:
            self._gates.judge(one)  # judge all of them before any is promoted
        retired = promote.switch(self._site.db, self._site.found, self._joined)
        done = [self._rebuilt(one, was) for one, was in zip(found, retired, strict=True)]
        self.compared_s += time.perf_counter() - began
        return done

    def _rebuilt(self, one: Judged, retired: Build | None) -> Rebuilt:
        build, compared = one.build, one.compared
        return Rebuilt(
            build.domain,
            build.model,
            build.number,
            retired.number if retired else None,
            compared.rows if compared else self._site.rows(one.layout, build),
            compared.rows if compared else None,
            compared.differing if compared else None,
            compared.listed if compared else [],
        )


def starts_beside(site: Site, layouts: Sequence[Layout]) -> dict[Start, list[Staging]]:
    """A build of each model beside the live tables, unfinished ones first, grouped by position."""
    keep_away = park_for_build(site.db, site.settings.topic_prefix)
    return _together(site.begin_all(layouts, keep_away, together=False))


def fold_close(
    db: Database,
    builder: Builder,
    target: Target,
    source: Source,
    progress: Progress,
    stands: Callable[[Database], Mapping[Place, int]] = lambda db: group_positions(db, GROUP),
) -> None:
    """Fold until few records are left before the live tables' positions, and give the tables their keys."""
    fold_log(source, target, stands(db), progress, builder.ahead, to_finish=True)
    builder.finish()
    while source.left(upto := stands(db)) > _CLOSE_RECORDS:
        fold_log(source, target, upto, progress, builder.ahead)


def _together(found: dict[Start, list[Staging]]) -> dict[Start, list[Staging]]:
    """Group new builds of models that read different topics, so that they share one pass over all topics."""
    new = [start for start in found if not any(at for _, at in start)]
    if len(new) < 2:
        return found
    places = sorted({place for start in new for place, _ in start})
    merged = {start: staged for start, staged in found.items() if start not in new}
    merged[tuple((place, 0) for place in places)] = [staging for start in new for staging in found[start]]
    return merged
