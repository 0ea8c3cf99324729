"""The end of a rebuild: joins the live tables at one vector of positions, and points the views at the new table."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg
from psycopg import sql

from refold.projections.errors import BadDeclaration, CannotJoin, CannotPromote
from refold.projections.live import parking
from refold.projections.replay.builder import Builder
from refold.projections.replay.source import Source
from refold.projections.tables import builds, tables
from refold.projections.tables.builds import GROUP, Build
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.projections.tables.views import ensure_views, ours
from refold.schemas.errors import RefoldError
from refold.streams.core.limits import group_positions
from refold.streams.errors import KafkaUnavailable
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database, notify
from refold.streams.refusals import first_line, is_away, refusal_of

T = TypeVar("T")
_PATIENCE_S = 60.0
_TAIL_S = 5.0


def begin(db: Database, layout: Layout, fingerprint: str, resumed: Build | None) -> Build:
    """The build to resume, or a new one; drops what other rebuilds of the model left. Raises CannotJoin.

    A verify or an as-of drops only what others of these left. The caller holds the model's lock, so no process works on a build of another declaration, nor on one that
    has joined and was never promoted. This takes the group's lock, since a release under way has not seen a new build
    that lacks its stream.
    """

    def step() -> Build:
        builds.lock_exclusive(db)
        kept = resumed.number if resumed else None
        for old in builds.builds(db):
            left = old.status in ("building", "shadow") and old.number != kept
            ours = old.purpose is not None or builds.purpose_of(fingerprint) is None
            if left and ours and (old.domain, old.model) == (layout.model.domain, layout.name):
                drop(db, old)
        if resumed is not None:
            return resumed
        build = builds.create(db, layout, fingerprint, "building")
        try:
            with db.transaction():
                tables.create(db, layout, build, with_key=layout.evolves)
        except psycopg.Error as problem:
            if is_away(problem) or refusal_of(problem) is not None:
                raise
            raise BadDeclaration(f"{layout.name}: Postgres does not take its table: {first_line(problem)}") from problem
        return build

    return _retried(db, "1s", step, CannotJoin("the live tables were busy all the time"))


def join(db: Database, builder: Builder, source: Source) -> None:
    """Fold the rest up to the group's positions while none can move, and make the builds members. Raises CannotJoin."""
    held = False

    def step() -> None:
        nonlocal held
        if held:  # the builder's memory was lost with the failed transaction
            raise CannotJoin("the transaction that joins the live tables failed")
        builds.lock_exclusive(db)
        held = True
        _fold_tail(db, builder, source)
        for staging in builder.staged:
            builds.set_status(db, staging.build, "shadow")
            positions.forget(db, staging.build.group)

    _retried(db, "1s", step, CannotJoin("the live tables were busy all the time"))


def meet(db: Database, reads: Database, builder: Builder, source: Source) -> None:
    """Fold the rest up to the group's positions, and begin a transaction of `reads` that sees all tables there.

    No position can move meanwhile. The builds stay outside the group. Raises CannotJoin.
    """
    _retried(db, "1s", lambda: builds.hold_still(db), CannotJoin("the live tables were busy all the time"))
    try:
        with db.transaction():
            _fold_tail(db, builder, source)
        reads.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reads.execute("SELECT")  # takes the snapshot
    finally:
        if not db.closed:
            builds.let_go(db)


def _fold_tail(db: Database, builder: Builder, source: Source) -> None:
    vector = {place: at for place, at in group_positions(db, GROUP).items() if place in source.position}
    until = time.monotonic() + _TAIL_S
    while source.left(vector):
        if time.monotonic() > until:
            raise KafkaUnavailable("the last records before the join did not arrive")
        chunks = source.read(vector, 0.2)
        if chunks:
            builder.add(builder.prepare(chunks))
    builder.flush_within()


def take_over(db: Database, found: Declared, builder: Builder) -> None:
    """On an empty database: in one transaction, make the builds serve and their positions the group's."""

    def step() -> None:
        builds.lock_exclusive(db)
        if any(group_positions(db, GROUP).values()):
            raise CannotJoin(
                "the models worker has begun to fold the log itself",
                "Wait for it; or stop the workers, and run the same command again.",
            )
        positions.put(db, GROUP, builder.position)
        for old in [build for build in builds.builds(db) if build.status in builds.MEMBERS]:
            drop(db, old)
        for staging in builder.staged:
            positions.forget(db, staging.build.group)
            builds.set_status(db, staging.build, "serving")
            tables.point_view(db, staging.layout, staging.build, ours(db, found))
        ensure_views(db, found)
        notify(db, GROUP, builder.position)

    _retried(db, "1s", step, CannotJoin("the database was busy all the time"))


def promote(db: Database, found: Declared, layout: Layout, shadow: Build) -> Build | None:
    """Let the view show the shadow, and return the table that served: it is retired and stays a member.

    Raises CannotPromote.
    """
    return retried(db, lambda: show(db, found, layout, shadow))


def show(db: Database, found: Declared, layout: Layout, build: Build) -> Build | None:
    """`promote` within a transaction of `retried`: what served is retired, and builds retired before it are dropped."""
    hold_all(db)
    others = [
        b for b in builds.builds(db) if (b.domain, b.model) == (build.domain, build.model) and b.number != build.number
    ]
    served = next((b for b in others if b.status == "serving"), None)
    if served is not None:
        for old in [b for b in others if b.status == "retired"]:
            drop(db, old)
        builds.set_status(db, served, "retired")
    builds.set_status(db, build, "serving")
    tables.point_view(db, layout, build, ours(db, found))
    ensure_views(db, found)
    return served


def hold_all(db: Database) -> None:
    """Let no position move, and wait only briefly for other locks, since all folding waits meanwhile."""
    builds.lock_exclusive(db)
    db.execute("SET LOCAL lock_timeout = '50ms'")


def drop(db: Database, build: Build) -> None:
    """Remove a build and everything that is kept about it."""
    builds.set_status(db, build, "dropped")
    positions.forget(db, build.group)
    parking.forget(db, build.number)
    tables.drop(db, build)


def drop_apart(db: Database, layouts: Sequence[Layout]) -> None:
    """Drop the builds of some models that verifies and as-ofs left. The caller holds the models' locks."""
    names = {(layout.model.domain, layout.name) for layout in layouts}
    for build in builds.builds(db):
        if build.purpose is not None and (build.domain, build.model) in names:
            with db.transaction():
                drop(db, build)


def retried(db: Database, step: Callable[[], T], failure: RefoldError | None = None) -> T:
    """Run a transaction that changes views or drops tables, again after each lock timeout.

    Raises `failure`, or else CannotPromote.
    """
    return _retried(db, "2s", step, failure or CannotPromote("somebody holds the view for longer than a minute"))


def _retried(db: Database, lock_timeout: str, step: Callable[[], T], failure: RefoldError) -> T:
    """Run a transaction; after a lock timeout or a deadlock, pause and run it again."""
    until, pause = time.monotonic() + _PATIENCE_S, 0.05
    while True:
        try:
            with db.transaction():
                db.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(lock_timeout)))
                return step()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as problem:
            if time.monotonic() > until:
                raise failure from problem
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
