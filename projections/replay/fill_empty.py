"""Fills an empty database: all read models and the core's tables, in one pass over the log, shown all at once."""

from collections.abc import Sequence
from contextlib import closing

from refold.projections.replay import promote
from refold.projections.replay.builder import Builder, Progress, Target
from refold.projections.replay.building import Site, Start
from refold.projections.replay.core_first import CoreFirst
from refold.projections.replay.fold_log import fold_log
from refold.projections.replay.plan import Rebuilt
from refold.projections.replay.source import Source
from refold.projections.replay.staging import Staging
from refold.projections.tables.builds import GROUP, Build
from refold.projections.tables.layout import Layout
from refold.schemas.contracts import MAX_EVENTS_PER_COMMAND
from refold.streams.chunk import Place
from refold.streams.core.folds import core_folds
from refold.streams.guard.store import Store
from refold.streams.guard.wiring import command_guard
from refold.streams.log.uncoded import refuse_uncoded
from refold.streams.postgres.set_aside import CODE_KILLS
from refold.streams.worker.guarded_fold import GuardedFold


class FillEmpty:
    """A rebuild while every live table is empty: nothing is joined or compared. All models stand at one position."""

    with_core = True
    compared_s = 0.0

    def __init__(self, site: Site, *, accept: bool = False) -> None:
        """`accept`: leave out categories in the log that no code explains, instead of refusing them."""
        self._site, self._accept = site, accept

    def starts(self, layouts: Sequence[Layout]) -> dict[Start, list[Staging]]:
        """All builds at one position; those at other positions begin again. Raises CategoryUncoded."""
        site = self._site
        if not self._accept:
            refuse_uncoded(site.settings, site.domains)
        found = site.begin_all(layouts, self._keep_from_all, together=True)
        if len(found) == 1:
            return found
        for staged in found.values():
            for staging in staged:
                promote.drop(site.db, staging.build)
        return site.begin_all(layouts, self._keep_from_all, together=True)

    def fold(self, builder: Builder, target: Target, source: Source, progress: Progress) -> list[Rebuilt]:
        """Pass each batch through the core's fold, then what it lets pass into the builds."""
        site = self._site
        (fold,) = core_folds(site.settings)
        with closing(fold), command_guard(site.settings, fold.group, MAX_EVENTS_PER_COMMAND) as guard:
            fold_log(source, CoreFirst(GuardedFold(fold, guard), target), source.ends(), progress, builder.ahead)
        builder.finish()
        promote.take_over(site.db, site.found, builder)
        return [
            Rebuilt(s.build.domain, s.build.model, s.build.number, None, site.rows(s.layout, s.build), None, None)
            for s in builder.staged
        ]

    def _keep_from_all(self, _: Build, place: Place, offset: int) -> None:
        """Park the record that killed `evolve` for all models, as live workers would: all models are built here."""
        Store(self._site.settings.dsn(), GROUP).add(place, [offset], CODE_KILLS)
