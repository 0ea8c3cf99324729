"""The end of a rebuild: joins the live tables at one vector of positions, and points the views at the new table."""

import time
from collections.abc import Callable, Sequence

import psycopg

from refold.projections.errors import BadDeclaration, CannotJoin
from refold.projections.live.showing import (
    LOCKS_S,
    drop,
    hold_all,
    retried,
    retried_within,
    show_held,
    wait_at_most,
)
from refold.projections.replay.builder import Builder
from refold.projections.replay.source import Source
from refold.projections.tables import builds, tables
from refold.projections.tables.builds import GROUP, Build
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.projections.tables.views import ensure_views, ours
from refold.streams.core.limits import group_positions
from refold.streams.errors import KafkaUnavailable
from refold.streams.failpoints import failpoint
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database, notify
from refold.streams.refusals import first_line, is_away, refusal_of

__all__ = [
    "begin",
    "drop",
    "drop_apart",
    "fold_tail",
    "hold_all",
    "join",
    "meet",
    "promote",
    "retried",
    "switch",
    "take_over",
]
_TAIL_S = 5.0


def begin(db: Database, layout: Layout, fingerprint: str, resumed: Build | None, note: str = "") -> Build:
    """The build to resume, or a new one; drops what other commands of its kind left. Raises CannotJoin.

    `note`: to be kept with the new build's table.

    The caller holds the model's lock, so no process works on a build of another declaration, nor on one that
    has joined and was never promoted. This takes the group's lock, since a release under way has not seen a new build
    that lacks its stream.
    """

    def step() -> Build:
        builds.lock_exclusive(db)
        kept = resumed.number if resumed else None
        for old in builds.builds(db):
            left = old.status in ("building", "shadow") and old.number != kept
            of_it = (old.domain, old.model) == (layout.model.domain, layout.name)
            if left and of_it and _is_replaced(old, fingerprint):
                drop(db, old)
        if resumed is not None:
            return resumed
        build = builds.create(db, layout, fingerprint, "building")
        try:
            with db.transaction():
                tables.create(db, layout, build, with_key=layout.evolves)
                if note:
                    tables.put_note(db, layout, build, note)
        except psycopg.Error as problem:
            if is_away(problem) or refusal_of(problem) is not None:
                raise
            raise BadDeclaration(f"{layout.name}: Postgres does not take its table: {first_line(problem)}") from problem
        return build

    return retried_within(db, "1s", step, CannotJoin("the live tables were busy all the time"))


def _is_replaced(old: Build, fingerprint: str) -> bool:
    """Whether a new build drops one that an earlier command left.

    A verify, a preview and an as-of drop only what such commands left. A prepare drops what other prepares left, of any
    declaration: one build a model waits for a deploy. A rebuild leaves prepared builds of other declarations alone.
    """
    purpose = builds.purpose_of(fingerprint)
    waits = old.is_prepared or old.purpose == "preparing"
    if old.purpose in builds.DROPPED_SOON:
        return True
    if purpose == "preparing":
        return waits
    return purpose is None and (not waits or builds.declaration_of(old) == fingerprint)


def join(db: Database, builder: Builder, source: Source) -> None:
    """Fold the rest up to the group's positions while none can move, and make the builds members. Raises CannotJoin."""
    held = False

    def step() -> None:
        nonlocal held
        if held:  # the builder's memory was lost with the failed transaction
            raise CannotJoin("the transaction that joins the live tables failed")
        builds.lock_exclusive(db)
        held = True
        fold_tail(db, builder, source)
        for staging in builder.staged:
            builds.set_status(db, staging.build, "shadow")
            positions.forget(db, staging.build.group)

    retried_within(db, "1s", step, CannotJoin("the live tables were busy all the time"))


def meet(db: Database, reads: Database, builder: Builder, source: Source) -> None:
    """Fold the rest up to the group's positions, and begin a transaction of `reads` that sees all tables there.

    No position can move meanwhile. The builds stay outside the group. Raises CannotJoin.
    """
    retried_within(db, "1s", lambda: builds.hold_still(db), CannotJoin("the live tables were busy all the time"))
    try:
        with db.transaction():
            fold_tail(db, builder, source)
        reads.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reads.execute("SELECT")  # takes the snapshot
    finally:
        if not db.closed:
            builds.let_go(db)


def fold_tail(db: Database, builder: Builder, source: Source) -> None:
    """Fold the records up to the group's positions, which the caller holds still, within the caller's transaction."""
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

    retried_within(db, "1s", step, CannotJoin("the database was busy all the time"))


def switch(
    db: Database,
    found: Declared,
    chosen: Sequence[tuple[Layout, Build]],
    check: Callable[[Layout, Build], None] = lambda _layout, _build: None,
) -> list[Build | None]:
    """Let the views of several models show their builds, and return the table of each that served: it is retired now.

    Invariant: it is one transaction, so a reader sees all models as before or all as after. Folding waits for it: all
    waits for readers' locks together are no longer than LOCKS_S, and are tried again. A view that was not free in time
    comes first then: a reader who locks the views in another order would hold this one again while it waits for others.

    `check`: raises if a build may not be shown; called while no position can move. Raises CannotPromote.
    """
    order, served = list(chosen), dict[int, Build | None]()

    def step() -> None:
        hold_all(db)
        began = time.monotonic()
        for number, one in enumerate(list(order), 1):
            layout, build = one
            check(layout, build)
            wait_at_most(db, LOCKS_S - (time.monotonic() - began))
            try:
                served[build.number] = show_held(db, found, layout, build, last=number == len(order))
            except psycopg.errors.LockNotAvailable:
                order.remove(one)
                order.insert(0, one)
                raise
            failpoint("replay.within-switch")

    failpoint("replay.before-switch")
    retried(db, step)
    failpoint("replay.after-switch")
    return [served[build.number] for _, build in chosen]


def promote(db: Database, found: Declared, layout: Layout, shadow: Build) -> Build | None:
    """`switch` of one model."""
    return switch(db, found, [(layout, shadow)])[0]


def drop_apart(db: Database, layouts: Sequence[Layout]) -> None:
    """Drop the builds of some models that verifies, previews and as-ofs left. The caller holds the models' locks."""
    names = {(layout.model.domain, layout.name) for layout in layouts}
    for build in builds.builds(db):
        if build.purpose in builds.DROPPED_SOON and (build.domain, build.model) in names:
            with db.transaction():
                drop(db, build)
