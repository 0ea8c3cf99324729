"""Compares a build that has joined with the table that serves, and tells what a promote would change for readers."""

import psycopg
from psycopg import sql

from refold.projections.replay.compare import Compared, compare, has_rows
from refold.projections.replay.gates import Judged
from refold.projections.tables import builds, tables
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout
from refold.streams.postgres.connection import Database
from refold.streams.refusals import first_line


def judged(db: Database, layout: Layout, build: Build) -> Judged:
    """The build beside the one that serves now; compared if both are of one declaration, at the same positions."""
    named = (build.domain, build.model)
    there = builds.builds(db)
    serving = builds.serving(there, *named)
    now = next((b for b in there if b.number == build.number), build)
    compared, damaged = None, None
    if serving is not None and serving.is_member and now.is_member and serving.fingerprint == build.fingerprint:
        compared, damaged = compared_or_damaged(db, layout, build, serving)
    served = serving is not None and has_rows(db, sql.Identifier(*named))
    empties = served and not has_rows(db, tables.shown_rows(layout, build))
    return Judged(build, layout, serving, compared, empties, damaged)


def compared_or_damaged(
    db: Database, layout: Layout, build: Build, serving: Build
) -> tuple[Compared | None, str | None]:
    """The comparison; or None and the reason, if somebody dropped or altered the served table."""
    try:
        compared = compare(db, layout, build, serving)
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.UndefinedColumn,
        psycopg.errors.UndefinedFunction,
    ) as problem:
        return None, first_line(problem)
    if not tables.has_key(db, layout, serving):
        return None, "its key is gone, so rows may be doubled"
    return compared, None
