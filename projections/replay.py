"""Rebuilding read models from the log: build beside the live tables, join them, compare, promote.

Nothing here can act on the outside: it folds events into tables and calls no author code but pure declarations.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Self

import psycopg
from psycopg import sql

from refold.projections import builds, names, promote, tables
from refold.projections.builds import GROUP, Build
from refold.projections.compare import compare, has_rows
from refold.projections.core_first import CoreFirst
from refold.projections.declared import declared
from refold.projections.errors import ModelFailed, NothingFolded, RebuildRunning
from refold.projections.evolve_notes import EvolveNotes, evolve_notes, pass_over_killers
from refold.projections.gates import Gates, Judged
from refold.projections.guarded import GuardedTarget
from refold.projections.layout import Layout
from refold.projections.limits import parked
from refold.projections.rebuild import Builder, Decoding, Progress, Target, fold_log
from refold.projections.replay_plan import Failed, Plan, Rebuilt, Report, goal, make_plan, places_of, unfinished
from refold.projections.source import Source
from refold.projections.staging import Staging
from refold.schemas.columns import ColumnDecoder
from refold.schemas.contracts import MAX_EVENTS_PER_COMMAND
from refold.streams.chunk import Place
from refold.streams.continuity import check_continuity
from refold.streams.control_tables import bootstrap
from refold.streams.core_limits import group_positions
from refold.streams.core_process import core_folds
from refold.streams.domain import load_domains
from refold.streams.guard import command_guard
from refold.streams.guarded_fold import GuardedFold
from refold.streams.postgres import Database, connect
from refold.streams.refusals import first_line
from refold.streams.settings import Settings
from refold.streams.stuck import watching
from refold.streams.topics import ensure_topics
from refold.streams.uncoded import refuse_uncoded
from refold.streams.waiting import when_kafka_answers

READ_RECORDS = 40_000
_CLOSE_RECORDS = 20_000
NOTHING_CHANGES = Gates()
Start = tuple[tuple[Place, int], ...]

_KAFKA_BOUND_S = 10.0


class Replay:
    """One `refold replay` command: its connections, and what the domains declare."""

    def __init__(self, settings: Settings) -> None:
        """Raises KafkaUnavailable, LogRefused, psycopg.OperationalError."""
        self._settings = settings
        self._domains, self._found = load_domains(settings.domains), declared(settings.domains)
        self._compared_s, self._gates = 0.0, NOTHING_CHANGES
        with ExitStack() as opened:  # whatever is refused closes what is open
            self._db: Database = opened.enter_context(closing(connect(settings.dsn(), application_name="replay")))
            self._reads: Database = opened.enter_context(
                closing(connect(settings.dsn(), application_name="replay-reads"))
            )
            bootstrap(self._db)
            when_kafka_answers(lambda: ensure_topics(settings, self._domains, self._db), _KAFKA_BOUND_S)
            check_continuity(settings, self._domains, self._db)
            opened.enter_context(watching(settings.stuck_cpu_s))
            self._open = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def plan(self, names: Sequence[str]) -> Plan:
        """What `execute` would do; no names: all models. Raises UnknownModel, NothingFolded, LogTrimmed."""
        layouts = self._layouts(names)
        fills = self._fills(layouts)
        places = places_of(self._settings, layouts)
        source = Source(self._settings.kafka_servers(), dict.fromkeys(places, 0), records=1)
        try:
            ends = source.ends() if fills else goal(self._db, places, fills=fills)
        finally:
            source.close()
        return make_plan(self._db, self._settings.topic_prefix, layouts, self._found, ends, fills=fills)

    def gates(self, *, accept: bool, expect_changes: Sequence[str], max_changed: str | None) -> Gates:
        """What may change of what readers see. Raises BadGate."""
        return Gates.read(self._found, accept, expect_changes, max_changed)

    def execute(self, names: Sequence[str], progress: Progress, gates: Gates = NOTHING_CHANGES) -> Report:
        """Rebuild and promote what the gates let through; killed, the same call goes on.

        Raises what `plan` raises, RebuildRunning, CannotJoin, RebuildDiffers, RowsLost, NotCompared, CategoryUncoded.
        """
        layouts, self._gates = self._layouts(names), gates
        with ExitStack() as held:
            for layout in layouts:
                held.enter_context(_only_one(self._db, layout))
            began = time.perf_counter()
            fills = self._fills(layouts)
            if fills and not gates.accept:
                refuse_uncoded(self._settings, self._domains)
            starts = self._starts(layouts, fresh=fills)
            built = [self._build(staged, dict(start), progress, fills=fills) for start, staged in starts.items()]
            failed = [self._dropped(*found) for builder, _ in built for found in builder.failed]
            seconds = time.perf_counter() - began
        builders = [builder for builder, _ in built]
        records = max(
            sum(b.position.values()) - sum(at for _, at in start) for b, start in zip(builders, starts, strict=True)
        )
        return Report(
            [result for _, results in built for result in results],
            records,
            sum(builder.events for builder in builders),
            round(seconds - self._compared_s, 2),
            round(seconds, 2),
            round(records / (seconds - self._compared_s)),
            sum(builder.fell_back for builder in builders),
            failed,
        )

    def _layouts(self, names: Sequence[str]) -> list[Layout]:
        return [self._found.named(name) for name in dict.fromkeys(names)] or list(self._found.layouts.values())

    def _fills(self, layouts: Sequence[Layout]) -> bool:
        """Whether no live table holds anything. Then only all models together can be built: they share one position."""
        if any(group_positions(self._db, GROUP).values()):
            return False
        if len(layouts) < len(self._found.layouts):
            raise NothingFolded("no read model holds anything yet, so there is nothing for one of them to join")
        return True

    def _starts(self, layouts: Sequence[Layout], *, fresh: bool) -> dict[Start, list[Staging]]:
        """A build for each model, unfinished ones first, together where they stand at the same positions."""
        found: dict[Start, list[Staging]] = {}
        for layout in layouts:
            places = places_of(self._settings, layouts if fresh else [layout])
            staging, done = self._staging(layout, fills=fresh)
            found.setdefault(tuple((place, done.get(place, 0)) for place in places), []).append(staging)
        if fresh and len(found) > 1:
            for staging in (staging for staged in found.values() for staging in staged):
                promote.drop(self._db, staging.build)
            return self._starts(layouts, fresh=fresh)
        return _together(found)

    def _staging(self, layout: Layout, *, fills: bool) -> tuple[Staging, dict[Place, int]]:
        fingerprint = self._found.fingerprints[layout.model.domain, layout.name]
        resumed = unfinished(builds.builds(self._db), layout, self._found)
        build = promote.begin(self._db, layout, fingerprint, resumed)
        notes = self._notes(build, fills=fills) if layout.evolves else None
        return Staging(self._db, layout, build, parked(self._db), notes), group_positions(self._db, build.group)

    def _notes(self, build: Build, *, fills: bool) -> EvolveNotes:
        notes = self._open.enter_context(evolve_notes(self._settings, build))
        pass_over_killers(self._settings, self._db, notes, build, fills=fills)
        return notes

    def _build(
        self, staged: list[Staging], start: dict[Place, int], progress: Progress, *, fills: bool
    ) -> tuple[Builder, list[Rebuilt]]:
        decoder = ColumnDecoder(self._domains.catalog, thin=True)
        decoding = Decoding(self._reads, self._settings.topic_prefix, decoder, self._found.types)
        builder = Builder(self._db, decoding, staged, start, fills=fills)
        source = Source(self._settings.kafka_servers(), start, records=READ_RECORDS, keys=fills)
        with closing(source), command_guard(self._settings, GROUP) as guard:
            target, make = GuardedTarget(builder, guard), self._fill if fills else self._rebuild
            try:
                return builder, make(builder, target, source, progress)
            except ModelFailed:
                if builder.staged:
                    raise
                return builder, []

    def _dropped(self, staging: Staging, problem: ModelFailed) -> Failed:
        """Nobody goes on with a build that its own rows have ended: its declaration has to change first."""
        with self._db.transaction():
            promote.drop(self._db, staging.build)
        return Failed(staging.build.domain, staging.build.model, problem.code, problem.message)

    def _fill(self, builder: Builder, target: Target, source: Source, progress: Progress) -> list[Rebuilt]:
        (fold,) = core_folds(self._settings)
        with closing(fold), command_guard(self._settings, fold.group, MAX_EVENTS_PER_COMMAND) as guard:
            fold_log(source, CoreFirst(GuardedFold(fold, guard), target), source.ends(), progress, builder.ahead)
        builder.finish()
        promote.take_over(self._db, self._found, builder)
        return [
            Rebuilt(s.build.domain, s.build.model, s.build.number, None, self._rows(s.layout, s.build), None, None)
            for s in builder.staged
        ]

    def _rebuild(self, builder: Builder, target: Target, source: Source, progress: Progress) -> list[Rebuilt]:
        places = list(source.position)
        fold_log(source, target, goal(self._db, places, fills=False), progress, builder.ahead)
        builder.finish()
        while source.left(upto := goal(self._db, places, fills=False)) > _CLOSE_RECORDS:
            fold_log(source, target, upto, progress, builder.ahead)
        promote.join(self._db, builder, source)
        began = time.perf_counter()
        judged = [self._judged(staging) for staging in builder.staged]
        for one in judged:
            self._gates.judge(one)  # all of them before any is promoted
        done = [self._promote(one) for one in judged]
        self._compared_s += time.perf_counter() - began
        return done

    def _judged(self, staging: Staging) -> Judged:
        build, layout = staging.build, staging.layout
        named = (build.domain, build.model, "serving")
        serving = next((b for b in builds.builds(self._db) if (b.domain, b.model, b.status) == named), None)
        same = serving is not None and serving.is_member and serving.fingerprint == build.fingerprint
        compared, damaged = None, None
        if serving is not None and same:
            try:
                compared = compare(self._db, layout, build, serving)
                if not tables.has_key(self._db, layout, serving):
                    compared, damaged = None, "its key is gone, so rows may be there twice"
            except (
                psycopg.errors.UndefinedTable,
                psycopg.errors.UndefinedColumn,
                psycopg.errors.UndefinedFunction,
            ) as problem:
                damaged = first_line(problem)
        served = serving is not None and has_rows(self._db, sql.Identifier(build.domain, build.model))
        empties = served and not has_rows(self._db, tables.shown_rows(layout, build))
        return Judged(build, layout, serving, compared, empties, damaged)

    def _promote(self, judged: Judged) -> Rebuilt:
        build, compared = judged.build, judged.compared
        retired = promote.promote(self._db, self._found, judged.layout, build)
        return Rebuilt(
            build.domain,
            build.model,
            build.number,
            retired.number if retired else None,
            compared.rows if compared else self._rows(judged.layout, build),
            compared.rows if compared else None,
            compared.differing if compared else None,
            compared.listed if compared else [],
        )

    def _rows(self, layout: Layout, build: Build) -> int:
        table = names.table(layout, build.schema)
        row = self._db.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
        assert row is not None
        return int(row[0])


def _together(found: dict[Start, list[Staging]]) -> dict[Start, list[Staging]]:
    """New builds of models that read different topics still share one pass over all of them."""
    new = [start for start in found if not any(at for _, at in start)]
    if len(new) < 2:
        return found
    places = sorted({place for start in new for place, _ in start})
    merged = {start: staged for start, staged in found.items() if start not in new}
    merged[tuple((place, 0) for place in places)] = [staging for start in new for staging in found[start]]
    return merged


@contextmanager
def _only_one(db: Database, layout: Layout) -> Iterator[None]:
    """Hold the model's rebuild lock; it goes with the connection, however this process ends. Raises RebuildRunning."""
    name = f"refold/rebuild/{layout.model.domain}.{layout.name}"
    row = db.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)).fetchone()
    if row is None or not row[0]:
        raise RebuildRunning(f"another process rebuilds {layout.name}")
    try:
        yield
    finally:
        if not db.closed:
            db.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))
