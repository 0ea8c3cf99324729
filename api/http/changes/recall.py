"""Asks the memories of the table that serves what was carried to events, so that a reader of the log finds their keys."""

from contextlib import closing
from dataclasses import dataclass

import psycopg

from refold.projections.live.carry import recalled
from refold.projections.partials.partial import Frames
from refold.projections.tables import builds
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import memories_of
from refold.streams.errors import DatabaseUnavailable
from refold.streams.postgres import session
from refold.streams.postgres.connection import Database, opened
from refold.streams.refusals import first_line


@dataclass(frozen=True)
class Recall:
    """What was carried to events of a model that the table of this declaration has folded."""

    url: str
    layout: Layout
    fingerprint: str

    def __call__(self, frames: Frames) -> Frames:
        """The events with it. Raises DatabaseUnavailable: the caller tries again."""
        if not memories_of(self.layout) or not frames:
            return frames
        try:
            with closing(opened(self.url, session.parameters("changes", session.READER))) as db:
                db.execute(session.said_again(session.READER))
                build = serving(db, self.layout, self.fingerprint)
                if build is None:
                    raise DatabaseUnavailable(f"no table of {self.layout.name} that this code declares serves now")
                return recalled(db, self.layout, build.schema, frames)
        except psycopg.Error as problem:
            raise DatabaseUnavailable(f"Postgres does not say what was carried: {first_line(problem)}") from problem


def serving(db: Database, layout: Layout, fingerprint: str) -> Build | None:
    """The build that readers see, if it is of the declaration."""
    found = builds.serving(builds.builds(db), layout.model.domain, layout.name)
    return found if found is not None and found.fingerprint == fingerprint else None
