"""The models group as a process: keeps every member's table up to the core's position."""

import logging
from collections.abc import Collection, Mapping, Sequence

import psycopg

from refold.projections.errors import CannotPromote
from refold.projections.live.follower import FOLLOWERS, ApartFold, Follower
from refold.projections.live.indexing import Indexing
from refold.projections.live.models import ModelsFold
from refold.projections.live.prepared import Waiting
from refold.projections.tables import builds, indexes, tables
from refold.projections.tables.declared import Declared, declared
from refold.projections.tables.layout import Layout
from refold.projections.tables.views import Declaration, ensure_views, ours, restore_views
from refold.streams import journal
from refold.streams.core.limits import group_positions
from refold.streams.domain import load_domains
from refold.streams.guard.wiring import process_guard
from refold.streams.log.continuity import check_continuity
from refold.streams.log.topics import ensure_topics
from refold.streams.log.waiting import when_kafka_answers
from refold.streams.operation.presence import Name, live_processes
from refold.streams.postgres.connection import Database, answering, connect_patiently
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.refusals import first_line, is_away, refusal_of
from refold.streams.settings import Settings
from refold.streams.worker.guarded_fold import GuardedFold

_log = logging.getLogger(__name__)
_LATER_S = 1.0
"""Longest time for which following others' builds waits while a build is taken over that was prepared late."""
_PACE_S = 0.02
"""Least seconds between two transactions.

It halves their number at 100 events/s; a row mostly waits for the core anyway.
"""


def main(settings: Settings) -> None:
    """Fold until told to stop. Raises LogRefused if the tables were folded from another log."""
    from refold.streams.worker.agents import FoldKind, run_fold  # imports Faust, which only the process needs

    fold = models_fold(settings, deploys=True)
    following = follower(settings)
    following.start()
    indexing = Indexing(settings.dsn(), declared(settings.domains))
    indexing.start()
    try:
        run_fold(settings, [fold], FoldKind(follows=True, pace_s=_PACE_S))
    finally:
        indexing.stop()
        following.stop()


def follower(settings: Settings) -> Follower:
    """The thread that keeps up builds of other code, for those that this code can write."""
    domains, found = load_domains(settings.domains), declared(settings.domains)
    fold = ApartFold(settings.dsn(), settings.topic_prefix, domains.catalog, found)
    guarded = GuardedFold(fold, process_guard(settings, FOLLOWERS))

    prepared = Waiting(settings, domains.catalog, found)

    def mend(db: Database) -> None:
        prepared.take_over(db, _LATER_S)
        if restore_views(db, found, declarations(living_writers(db))):
            _log.info("models: views of this code are shown again")

    return Follower(fold, guarded, settings, living_writers, mend)


def living_writers(db: Database) -> list[Mapping[Name, str]]:
    """The fingerprints that each living process of the group can write."""
    return [process.writes for process in live_processes(db) if process.role == builds.GROUP]


def models_fold(settings: Settings, *, deploys: bool = False) -> ModelsFold:
    """The models fold, once the topics are checked and the tables exist.

    `deploys`: this process is a part of a deploy, so builds that were prepared for its code are shown to readers.
    """
    domains, found = load_domains(settings.domains), declared(settings.domains)
    with answering(), connect_patiently(settings.dsn(), application_name="models-start") as db:
        bootstrap(db)
        when_kafka_answers(lambda: ensure_topics(settings, domains, db))
        when_kafka_answers(lambda: check_continuity(settings, domains, db))
        if deploys:  # before declared views change: they change together with the tables that they read
            Waiting(settings, domains.catalog, found).take_over(db)
        ensure_builds(db, found, declarations(living_writers(db)))
    return ModelsFold(settings.dsn(), settings.topic_prefix, domains.catalog, found)


def declarations(writers: Sequence[Mapping[Name, str]]) -> set[Declaration]:
    """Everything that living processes declare, models and views."""
    return {(*name, fingerprint) for writes in writers for name, fingerprint in writes.items()}


def ensure_builds(db: Database, found: Declared, others: Collection[Declaration] = ()) -> None:
    """Create missing builds: on an empty database they serve from the first event; later ones wait for a rebuild.

    `others`: the declared views of living processes.
    """
    with db.transaction():
        builds.lock_exclusive(db)
        there = {(build.domain, build.model) for build in builds.builds(db) if build.status == "serving"}
        at_start = not any(group_positions(db, builds.GROUP).values())
        for name, layout in found.layouts.items():
            if name not in there and at_start:
                _begin(db, found, layout)
            elif name not in there:
                _log.warning(
                    "models: %s.%s is not built yet: refold replay rebuild %s --execute",
                    *name,
                    name[1],
                    extra=journal.about(of=name),
                )
        ensure_views(db, found, others)


def _begin(db: Database, found: Declared, layout: Layout) -> None:
    """Make a model's first table. If Postgres refuses it, the model is detached and the others go on."""
    name = (layout.model.domain, layout.name)
    build = builds.create(db, layout, found.fingerprints[name], "serving")
    try:
        with db.transaction():
            tables.create(db, layout, build)
            indexes.add_all(db, layout, build)
            tables.point_view(db, layout, build, ours(db, found))
    except (psycopg.Error, CannotPromote) as problem:
        if isinstance(problem, psycopg.Error) and (is_away(problem) or refusal_of(problem) is not None):
            raise
        builds.detach(db, build, "model-failed", f"Postgres does not make its table: {first_line(problem)}")
        _log.error(
            "models: the table of %s.%s cannot be made: %s",
            *name,
            first_line(problem),
            extra=journal.about(problem, of=name),
        )
