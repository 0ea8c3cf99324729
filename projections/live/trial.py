"""Tries declared tables and views in an empty database, as the first worker would make them there."""

from refold.projections.live.process import ensure_builds
from refold.projections.tables.declared import Declared
from refold.streams.postgres.connection import connect
from refold.streams.postgres.control_tables import bootstrap


def refused(dsn: str, found: Declared) -> list[tuple[str, str]]:
    """Each table and view that Postgres refuses, as domain.name, with its reason; views in the order of their declaration.

    `dsn`: a database in which nothing is. All that is made there stays.
    """
    with connect(dsn, application_name="refold-trial") as db:
        bootstrap(db)
        ensure_builds(db, found)
        detached = db.execute(
            "SELECT domain || '.' || model, detached_reason FROM refold.builds WHERE detached_code IS NOT NULL ORDER BY 1"
        )
        faults: dict[str, str] = dict(
            db.execute("SELECT domain || '.' || view, reason FROM refold.view_faults").fetchall()
        )
        names = [f"{view.domain}.{view.name}" for view in found.views]
        return [*detached.fetchall(), *((name, faults[name]) for name in names if name in faults)]
