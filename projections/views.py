"""The SQL views that authors declare over read models."""

from refold.projections import builds, tables
from refold.projections.declared import Declared
from refold.streams.postgres import Database


def ensure_views(db: Database, found: Declared) -> None:
    """Declared SQL views whose read models all serve."""
    there = {(build.domain, build.model) for build in builds.builds(db) if build.status == "serving"}
    for view in found.views:
        if all((view.domain, name) in there for name in view.reads):
            tables.create_view(db, view)
