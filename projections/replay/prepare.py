"""Prepares a deploy: folds the log into builds of this code's declarations, beside the live tables of older code.

Run from new code before its workers start. The live workers cannot write these builds, so `following.py` keeps them up
to date, and the first models process of this code shows them to readers (`live/prepared.py`).

Invariants: the live tables, and everything that live folding reads, stay as they are: a stream that this code cannot read
waits for these builds alone. One build a model waits for a deploy. A killed command goes on from its last flush.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from refold.projections.errors import NothingFolded, RowsLost
from refold.projections.live import showing
from refold.projections.live.apart import stands_of_deploy
from refold.projections.replay.builder import Builder, Progress, Target
from refold.projections.replay.building import Site, Start
from refold.projections.replay.command import Replay
from refold.projections.replay.following import Following, Prepared
from refold.projections.replay.judging import judged
from refold.projections.replay.model_lock import alone
from refold.projections.replay.plan import MODELS_PER_S, Failed, records_left, unfinished
from refold.projections.replay.rebuild_beside import fold_close, starts_beside
from refold.projections.replay.source import Source
from refold.projections.replay.staging import Staging
from refold.projections.tables import builds
from refold.projections.tables.builds import GROUP, PREPARED, PREPARING, Build
from refold.projections.tables.changes import Change, changes
from refold.projections.tables.layout import Layout
from refold.streams.core.limits import group_positions
from refold.streams.failpoints import failpoint


@dataclass(frozen=True)
class DeployedModel:
    """What the deploy changes of one model.

    `change`: same (nothing to prepare), new, renamed, other-key or changed. `serving`: the build that readers see until
    then; it is retired then. `goes_on`: the prepared or unfinished build that the command goes on with. `columns`: as
    `tables.changes.Change`. `records`: to read.
    """

    domain: str
    model: str
    change: str
    serving: int | None
    goes_on: int | None
    records: int
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeployPlan:
    """The plan of a prepare."""

    models: list[DeployedModel]
    records: int
    estimated_s: float


@dataclass(frozen=True)
class PrepareReport:
    """What was built. `models`: also those that an earlier command built. `failed`: models that this code cannot fold."""

    models: list[Prepared]
    records: int = 0
    events: int = 0
    seconds: float = 0.0
    records_per_s: int = 0
    failed: list[Failed] = field(default_factory=list)


class PrepareBeside:
    """A fold up to the live tables, whose builds then wait at their own positions."""

    with_core = False
    compared_s = 0.0

    def __init__(self, site: Site, *, accept: bool) -> None:
        self._site, self._accept = site, accept

    def starts(self, layouts: Sequence[Layout]) -> dict[Start, list[Staging]]:
        """A build of each model, unfinished ones first, grouped by position."""
        return starts_beside(self._site, layouts)

    def fold(self, builder: Builder, target: Target, source: Source, progress: Progress) -> list[Build]:
        """Fold until little is left. Raises RowsLost."""
        db = self._site.db
        fold_close(db, builder, target, source, progress, stands_of_deploy)
        for staging in builder.staged:
            if not self._accept and judged(db, staging.layout, staging.build).empties:
                raise RowsLost(
                    f"{staging.build.domain}.{staging.build.model}: the served table has rows, the prepared one"
                    f" (build {staging.build.number}) has none"
                )
        return [staging.build for staging in builder.staged]


class Prepare(Replay):
    """One `refold replay prepare` command."""

    def deploy_plan(self, names: Sequence[str]) -> DeployPlan:
        """What `build` would do. Raises UnknownModel, NothingFolded, LogTrimmed."""
        site, wanted = self._site, self._changes(names)
        there = builds.builds(site.db)
        ends = stands_of_deploy(site.db)
        waiting, models = self._prepared_already([layout for _, layout in wanted]), []
        for change, layout in wanted:
            name = (change.domain, change.model)
            serving = change.serving.number if change.serving is not None else None
            goes_on, left = waiting.get(name), 0
            if goes_on is None and change.kind != "same":
                goes_on = unfinished(there, layout, site.found, PREPARING)
                left = records_left(site.db, site.settings.topic_prefix, layout, goes_on, ends)
            number = goes_on.number if goes_on is not None else None
            models.append(DeployedModel(*name, change.kind, serving, number, left, change.columns))
        most = max((model.records for model in models), default=0)
        return DeployPlan(models, most, round(most / MODELS_PER_S, 1))

    def prepare(self, names: Sequence[str], progress: Progress, *, accept: bool) -> tuple[PrepareReport, Following]:
        """Build what is missing, and begin to follow. If it is killed, the same call goes on.

        Raises the errors of `deploy_plan`, RebuildRunning, RowsLost, CannotPromote if views of others stand in the way.
        """
        layouts = [layout for change, layout in self._changes(names) if change.kind != "same"]
        with alone(self._site.db, layouts):
            there = self._prepared_already(layouts)
            missing = [layout for layout in layouts if (layout.model.domain, layout.name) not in there]
            report = self._build(missing, progress, accept=accept) if missing else PrepareReport([])
            waiting = self._prepared_already(layouts, shown=True)
            self._rehearse([(build, self._site.found.layouts[name]) for name, build in waiting.items()])
            following = Following(self._site, list(waiting.values()))
        return replace(report, models=following.look()), following

    def _changes(self, names: Sequence[str]) -> list[tuple[Change, Layout]]:
        """The changes of some models, or of all. Raises UnknownModel, NothingFolded."""
        site, layouts = self._site, self._layouts(names)
        if not any(group_positions(site.db, GROUP).values()):
            raise NothingFolded(
                "no read model has folded a record yet",
                "Deploy: the first workers build every table from the beginning.",
            )
        found = {(change.domain, change.model): change for change in changes(site.db, site.found)}
        return [(found[layout.model.domain, layout.name], layout) for layout in layouts]

    def _prepared_already(self, layouts: Sequence[Layout], *, shown: bool = False) -> dict[tuple[str, str], Build]:
        """The builds of this code that wait for the deploy, by model. `shown`: those that it has just promoted, too."""
        prints = {
            (name := (layout.model.domain, layout.name)): self._site.found.fingerprints[name] for layout in layouts
        }
        there = [
            build
            for build in builds.builds(self._site.db)
            if build.is_prepared or (shown and build.detached_code == PREPARED)
        ]
        return {
            (build.domain, build.model): build
            for build in there
            if prints.get((build.domain, build.model)) == build.fingerprint
        }

    def _build(self, layouts: Sequence[Layout], progress: Progress, *, accept: bool) -> PrepareReport:
        began = time.perf_counter()
        site = replace(self._site, apart=PREPARING)
        flow = PrepareBeside(site, accept=accept)
        starts = flow.starts(layouts)
        done = [site.build(flow, staged, dict(start), progress) for start, staged in starts.items()]
        self._mark([build for _, found in done for build in found])
        built = [builder for builder, _ in done]
        seconds = time.perf_counter() - began
        failed = [self._dropped(*found) for builder in built for found in builder.failed]
        records = max(
            sum(builder.position.values()) - sum(at for _, at in start)
            for builder, start in zip(built, starts, strict=True)
        )
        events = sum(builder.events for builder in built)
        return PrepareReport([], records, events, round(seconds, 2), round(records / seconds), failed)

    def _mark(self, folded: Sequence[Build]) -> None:
        """Let the builds wait for the deploy, all from one moment on: a worker that starts shows all of them or none."""
        failpoint("prepare.before-mark")
        with self._site.db.transaction():
            builds.lock_exclusive(self._site.db)
            for build in folded:
                builds.prepare_within(self._site.db, build)
        failpoint("prepare.after-mark")

    def _rehearse(self, prepared: Sequence[tuple[Build, Layout]]) -> None:
        """Show the builds and take it back, so that an obstacle is known before the deploy. Raises CannotPromote."""
        db, waiting = self._site.db, [one for one in prepared if one[0].is_prepared]

        def step() -> None:
            with db.transaction(force_rollback=True):
                showing.show_all(db, self._site.found, waiting)

        if waiting:
            showing.retried(db, step)
