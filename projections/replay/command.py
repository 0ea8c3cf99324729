"""The command that rebuilds read models from the log: `FillEmpty` if every table is empty, else `RebuildBeside`.

Nothing here acts on the outside world: it folds events into tables, and the only code of authors that it calls is pure.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Generic, NamedTuple, Self

import psycopg

from refold.projections.errors import ModelFailed, NothingFolded
from refold.projections.replay import promote
from refold.projections.replay.as_of import AsOf, SnapshotReport
from refold.projections.replay.builder import Progress
from refold.projections.replay.building import Flow, Result, Site
from refold.projections.replay.fill_empty import FillEmpty
from refold.projections.replay.gates import Gates
from refold.projections.replay.holding import UNHELD
from refold.projections.replay.joining import Joining
from refold.projections.replay.memory import ROOM
from refold.projections.replay.model_lock import alone
from refold.projections.replay.moments import Moment
from refold.projections.replay.other_code import declared_in
from refold.projections.replay.passes import leading
from refold.projections.replay.plan import Failed, ReplayPlan, Report, make_plan, places_of
from refold.projections.replay.preview import PreviewBeside, PreviewReport
from refold.projections.replay.rebuild_beside import RebuildBeside, goal
from refold.projections.replay.repair import Repaired, repair
from refold.projections.replay.sampling import Sample
from refold.projections.replay.source import Source
from refold.projections.replay.staging import Staging
from refold.projections.replay.throttle import Throttle
from refold.projections.replay.verify_beside import VerifyBeside, VerifyReport
from refold.projections.replay.wanted_keys import Wanted
from refold.projections.tables.builds import GROUP, PREVIEWED, TAKEN, VERIFIED, Build
from refold.projections.tables.declared import Declared, declared
from refold.projections.tables.layout import Layout
from refold.projections.tables.snapshot_views import expanded
from refold.schemas.columns.compiled import load
from refold.streams.core.limits import group_positions
from refold.streams.domain import load_domains
from refold.streams.errors import KafkaUnavailable
from refold.streams.log.continuity import check_continuity
from refold.streams.log.topics import ensure_topics
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.postgres.connection import connect
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.refusals import is_away
from refold.streams.settings import Settings
from refold.streams.stuck import watching

NOTHING_CHANGES = Gates()
_KAFKA_BOUND_S = 10.0
"""Seconds that a command waits for Kafka; a worker waits forever."""


class Replay:
    """One `refold replay` command: its connections and the domains' declarations."""

    def __init__(self, settings: Settings, room: int = ROOM, processes: int = 1, *, throttle: bool = False) -> None:
        """`room`: bytes of rows that memory may hold before they are written. `processes`: how many read and decode.

        `throttle`: live traffic comes first. Raises KafkaUnavailable, LogRefused, psycopg.OperationalError.
        """
        domains, found = load_domains(settings.domains), declared(settings.domains)
        with ExitStack() as opened:  # a refusal closes what is already open
            db = opened.enter_context(closing(connect(settings.dsn(), application_name="replay")))
            reads = opened.enter_context(closing(connect(settings.dsn(), application_name="replay-reads")))
            bootstrap(db)
            when_kafka_answers(lambda: ensure_topics(settings, domains, db), _KAFKA_BOUND_S)
            check_continuity(settings, domains, db)
            opened.enter_context(watching(settings.stuck_cpu_s))
            holding = opened.enter_context(Throttle(settings, domains)) if throttle else UNHELD
            self._open = opened.pop_all()
        self._site = Site(
            settings, domains, found, db, reads, self._open, room=room, processes=processes, holding=holding
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def plan(self, names: Sequence[str]) -> ReplayPlan:
        """The plan of `execute`; without names for all models. Raises UnknownModel, NothingFolded, LogTrimmed."""
        layouts, site = self._layouts(names), self._site
        fills = self._fills(layouts)
        places = places_of(site.settings, layouts)
        with closing(Source(site.settings.kafka_servers(), dict.fromkeys(places, 0), records=1)) as source:
            ends = source.ends() if fills else goal(site.db, places)
        return make_plan(site.db, site.settings.topic_prefix, layouts, site.found, ends, fills=fills)

    @property
    def held_back(self) -> str:
        """Why the replay is held back now, in words; empty if it is not."""
        return self._site.holding.says

    @property
    def found(self) -> Declared:
        """The domains' declarations."""
        return self._site.found

    def execute(self, names: Sequence[str], progress: Progress, gates: Gates = NOTHING_CHANGES) -> Report:
        """Rebuild, and promote what the gates allow. If it is killed, the same call resumes.

        Raises the errors of `plan`, RebuildRunning, CannotJoin, RebuildDiffers, RowsLost, NotCompared, CategoryUncoded.
        """
        layouts = self._layouts(names)
        with alone(self._site.db, layouts):
            return self._rebuild(layouts, progress, gates)

    def join(self, names: Sequence[str], progress: Progress, gates: Gates = NOTHING_CHANGES) -> Report:
        """`execute`; or if another command does so already, work on its builds, and end them if it dies.

        Raises the errors of `execute`; RebuildRunning if the other command makes no builds; BuildOfOtherCode.
        """
        with Joining(self._site, self._layouts(names), progress) as joining:
            return joining.run(lambda layouts, joined: self._rebuild(layouts, progress, gates, joined))

    def _rebuild(
        self,
        layouts: Sequence[Layout],
        progress: Progress,
        gates: Gates,
        joined: Sequence[tuple[Layout, Build]] = (),
    ) -> Report:
        """Rebuild models, whose locks the caller holds. `joined`: builds of others that are to be shown with them."""
        site, began = self._site, time.perf_counter()
        load()
        loaded_s = time.perf_counter() - began
        if not joined and self._fills(layouts):
            flow: FillEmpty | RebuildBeside = FillEmpty(site, accept=gates.accept)
        else:
            flow = RebuildBeside(site, gates, joined)
        starts = flow.starts(layouts)
        with leading(site.db, starts if isinstance(flow, RebuildBeside) else {}):
            built = [site.build(flow, staged, dict(start), progress) for start, staged in starts.items()]
            failed = [self._dropped(*found) for builder, _ in built for found in builder.failed]
            models = [result for _, results in built for result in results]
            if isinstance(flow, RebuildBeside):
                models += flow.promote()
        seconds = time.perf_counter() - began
        fold_s = seconds - loaded_s - flow.compared_s
        read = [
            sum(builder.position.values()) - sum(at for _, at in start)
            for (builder, _), start in zip(built, starts, strict=True)
        ]
        records = max(read, default=0)
        return Report(
            models=models,
            records=records,
            events=sum(builder.events for builder, _ in built),
            fold_s=round(fold_s, 2),
            seconds=round(seconds, 2),
            records_per_s=round(records / fold_s),
            fell_back=sum(builder.fell_back for builder, _ in built),
            failed=failed,
            held_s=self._held_s(),
        )

    def verify(self, names: Sequence[str], progress: Progress) -> VerifyReport:
        """Compare live tables with what the log gives; without names all of them. Live tables stay as they are.

        Raises UnknownModel, NothingFolded, CannotJoin, LogTrimmed.
        """
        site = replace(self._site, apart=VERIFIED)
        done = self._apart(site, VerifyBeside(site), names, progress)
        models = sorted(done.models, key=lambda one: (one.domain, one.model))
        equal = all(one.equal for one in models) and not done.failed
        return VerifyReport(
            equal, models, done.records, done.events, done.seconds, done.records_per_s, done.failed, self._held_s()
        )

    def preview(
        self, names: Sequence[str], code: str | None, progress: Progress, sample: Sample | None = None
    ) -> PreviewReport:
        """What this code's declarations, or those of the module `code`, would change; without names all of them.

        Live tables stay as they are. `sample`: only its streams are folded and compared.

        Raises UnknownModel, NothingFolded, CannotJoin, LogTrimmed, and with `code` as `declared_in`.
        """
        found = self._site.found if code is None else declared_in(self._site.domains, code)
        site = replace(self._site, apart=PREVIEWED, found=found, code=code, sample=sample)
        done = self._apart(site, PreviewBeside(site, self._site.found), names, progress)
        changes = any(one.changes for one in done.models)
        return PreviewReport(
            changes,
            sorted(done.models, key=lambda one: (one.domain, one.model)),
            done.records,
            done.seconds,
            done.records_per_s,
            done.failed,
            self._held_s(),
        )

    def as_of(self, names: Sequence[str], moment: Moment, name: str, progress: Progress) -> SnapshotReport:
        """Keep some models, or without names all of them, as they were at a moment, under a name.

        Raises UnknownModel, NothingFolded, SnapshotInvalid, SnapshotExists, MomentOpen, LogTrimmed.
        """
        site = replace(self._site, apart=TAKEN, occurred_before=moment.occurred_before)
        tables, views = expanded(site.found, names)
        flow = AsOf(site, name, moment, views)
        done = self._apart(site, flow, tables, progress, flow.keep)
        failed = [*done.failed, *flow.failed]
        return SnapshotReport(name, done.models, done.records, done.seconds, done.records_per_s, failed, self._held_s())

    def repair(self, name: str, wanted: Wanted, progress: Progress, *, execute: bool) -> Repaired:
        """Make these rows of a live table those of the log, or without `execute` say which differ.

        Raises UnknownModel, NothingFolded, LogTrimmed, and as `repair.repair`.
        """
        site, layout = self._site, self._site.found.named(name)
        if not any(group_positions(site.db, GROUP).values()):
            raise NothingFolded("no read model has folded a record yet")
        return repair(site, layout, wanted, progress, execute=execute)

    def _apart(
        self,
        site: Site,
        flow: Flow[Result],
        names: Sequence[str],
        progress: Progress,
        end: Callable[[], list[Result]] = list,
    ) -> "_Apart[Result]":
        """Run a flow whose builds stay apart, and drop the builds that it leaves. `end`: what it does once all is folded.

        If a server went away the builds stay, as after a kill, so that the same command goes on with them.
        """
        layouts = self._layouts(names, site.found)
        if not any(group_positions(site.db, GROUP).values()):
            raise NothingFolded("no read model has folded a record yet")
        with alone(site.db, layouts):
            began = time.perf_counter()
            try:
                built = [
                    site.build(flow, staged, dict(start), progress) for start, staged in flow.starts(layouts).items()
                ]
                models = [one for _, results in built for one in results] + end()
            except BaseException as problem:
                if not site.db.closed and not _goes_on(problem):
                    promote.drop_apart(site.db, layouts)
                raise
            promote.drop_apart(site.db, layouts)
            seconds = time.perf_counter() - began
        failed = [
            Failed(staging.build.domain, staging.build.model, problem.code, problem.message)
            for builder, _ in built
            for staging, problem in builder.failed
        ]
        records = max((builder.read for builder, _ in built), default=0)
        events = sum(builder.events for builder, _ in built)
        return _Apart(models, failed, records, events, round(seconds, 2), round(records / seconds))

    def _held_s(self) -> float:
        return round(self._site.holding.held_s, 2)

    def _layouts(self, names: Sequence[str], found: Declared | None = None) -> list[Layout]:
        found = found or self._site.found
        return [found.named(name) for name in dict.fromkeys(names)] or list(found.layouts.values())

    def _fills(self, layouts: Sequence[Layout]) -> bool:
        """Whether every live table is empty.

        Then models can only be built all together, since they share one position.
        """
        if any(group_positions(self._site.db, GROUP).values()):
            return False
        if len(layouts) < len(self._site.found.layouts):
            raise NothingFolded("no read model has folded a record yet, so a single one has no tables to join")
        return True

    def _dropped(self, staging: Staging, problem: ModelFailed) -> Failed:
        """Drop a build that failed because of its rows. Nobody would resume it, since its declaration must change."""
        with self._site.db.transaction():
            promote.drop(self._site.db, staging.build)
        return Failed(staging.build.domain, staging.build.model, problem.code, problem.message)


def _goes_on(problem: BaseException) -> bool:
    """Whether the same command may go on later with what was built: a server went away, and no disk is full."""
    if isinstance(problem, psycopg.Error):
        return is_away(problem) and not isinstance(problem, psycopg.errors.DiskFull)
    return isinstance(problem, KafkaUnavailable)


class _Apart(NamedTuple, Generic[Result]):
    """The result of a flow whose builds stay apart."""

    models: list[Result]
    failed: list[Failed]
    records: int
    events: int
    seconds: float
    records_per_s: int
