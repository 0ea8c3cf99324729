"""The lock of a model's builds: one command at a time makes, shows or drops them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from refold.projections.errors import RebuildRunning
from refold.projections.tables.layout import Layout
from refold.streams.postgres.connection import Database


@contextmanager
def alone(db: Database, layouts: Sequence[Layout]) -> Iterator[None]:
    """Hold the models' locks, which end with the connection, however the process ends.

    Raises RebuildRunning, at once.
    """
    with ExitStack() as held:
        for layout in layouts:
            held.enter_context(_alone(db, layout))
        yield


@contextmanager
def _alone(db: Database, layout: Layout) -> Iterator[None]:
    name = f"refold/rebuild/{layout.model.domain}.{layout.name}"
    row = db.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)).fetchone()
    if row is None or not row[0]:
        raise RebuildRunning(f"another command works on the builds of {layout.name}")
    try:
        yield
    finally:
        if not db.closed:
            db.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))
