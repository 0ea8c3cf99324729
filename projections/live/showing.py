"""Points views at builds: readers see the old tables or the new ones, and all folding waits for that moment alone."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg
from psycopg import sql

from refold.projections.errors import CannotPromote
from refold.projections.live import parking
from refold.projections.tables import builds, tables
from refold.projections.tables.builds import Build
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.projections.tables.views import ensure_views, ours
from refold.schemas.errors import RefoldError
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database

T = TypeVar("T")
_PATIENCE_S = 60.0
LOCKS_S = 0.05
"""Longest wait for the locks of readers while no position can move."""


def show(db: Database, found: Declared, layout: Layout, build: Build) -> Build | None:
    """`promote` within a transaction of `retried`: what served is retired, and builds retired before it are dropped."""
    hold_all(db)
    return show_held(db, found, layout, build)


def show_held(db: Database, found: Declared, layout: Layout, build: Build, *, last: bool = True) -> Build | None:
    """`show` after `hold_all`. `last`: no other model of the transaction follows.

    Only then are declared views made: one that reads several models cannot be made while some of them are as before.
    """
    others = [
        b for b in builds.builds(db) if (b.domain, b.model) == (build.domain, build.model) and b.number != build.number
    ]
    served = next((b for b in others if b.status == "serving"), None)
    if served is not None:
        for old in [b for b in others if b.status == "retired"]:
            drop(db, old)
        builds.set_status(db, served, "retired")
    builds.set_status(db, build, "serving")
    builds.settle_within(db, build)
    tables.point_view(db, layout, build, ours(db, found))
    if last:
        ensure_views(db, found)
    return served


def show_all(db: Database, found: Declared, chosen: Sequence[tuple[Build, Layout]]) -> None:
    """`show` several models in one transaction of `retried`. All waits for readers together last LOCKS_S at most."""
    hold_all(db)
    began = time.monotonic()
    for number, (build, layout) in enumerate(chosen, 1):
        wait_at_most(db, LOCKS_S - (time.monotonic() - began))
        show_held(db, found, layout, build, last=number == len(chosen))


def hold_all(db: Database) -> None:
    """Let no position move, and wait only briefly for other locks, since all folding waits meanwhile."""
    builds.lock_exclusive(db)
    wait_at_most(db, LOCKS_S)


def wait_at_most(db: Database, seconds: float) -> None:
    """Bound each wait for a lock in this transaction."""
    db.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{max(1, round(seconds * 1000))}ms")))


def drop(db: Database, build: Build) -> None:
    """Remove a build and everything that is kept about it."""
    builds.set_status(db, build, "dropped")
    positions.forget(db, build.group)
    parking.forget(db, build.number)
    tables.drop(db, build)


def retried(db: Database, step: Callable[[], T], failure: RefoldError | None = None) -> T:
    """Run a transaction that changes views or drops tables, again after each lock timeout.

    Raises `failure`, or else CannotPromote.
    """
    return retried_within(db, "2s", step, failure or CannotPromote("somebody holds the view for longer than a minute"))


def retried_within(db: Database, lock_timeout: str, step: Callable[[], T], failure: RefoldError) -> T:
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
