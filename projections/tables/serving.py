"""The models that the API serves: each one's view and columns, and whether its table is in order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from refold.projections.tables.builds import FOLLOWED, PREPARED
from refold.projections.tables.declared import declared
from refold.projections.tables.fingerprint import view_fingerprint
from refold.projections.tables.served import ServedColumn, ServedLink, ServedModel, served_table, served_view
from refold.projections.tables.view_order import tables_read
from refold.streams.postgres.connection import Database


@dataclass(frozen=True)
class ModelState:
    """The serving build of a model and its trouble: `missing`, `detached`, or streams that wait.

    A prepared build counts as detached only while no process follows it.
    """

    domain: str
    name: str
    build: int | None
    detached_code: str | None
    detached_reason: str | None
    parked: int

    @property
    def status(self) -> str:
        if self.build is None:
            return "missing"
        return "detached" if self.detached_code is not None else "serving"


@dataclass(frozen=True)
class ViewFault:
    """A declared view that Postgres could not make as this code declares it."""

    domain: str
    view: str
    reason: str


__all__ = [
    "ModelState",
    "ServedColumn",
    "ServedLink",
    "ServedModel",
    "ViewFault",
    "model_states",
    "served_models",
    "view_faults",
]

_FAULTS = """
    SELECT f.domain, f.view, f.reason FROM refold.view_faults f
      JOIN unnest(%s::text[], %s::text[], %s::text[]) AS d(domain, view, fingerprint) USING (domain, view, fingerprint)
     ORDER BY 1, 2
"""

_STATES = f"""
    SELECT d.domain, d.model, b.build,
           CASE WHEN b.detached_code <> '{PREPARED}' OR NOT {FOLLOWED} THEN b.detached_code END, b.detached_reason,
           (SELECT count(DISTINCT (p.category, p.stream)) FROM refold.parked p
             WHERE p.category = ANY(string_to_array(d.categories, ',')) AND p.build IN (0, b.build))
      FROM unnest(%s::text[], %s::text[], %s::text[]) AS d(domain, model, categories)
      LEFT JOIN refold.builds b ON (b.domain, b.model, b.status) = (d.domain, d.model, 'serving')
     ORDER BY 1, 2
"""


def served_models(domains: Sequence[str]) -> list[ServedModel]:
    """Every read model and SQL view that the domains declare, with its links."""
    found = declared(domains)
    tables = [served_table(layout) for layout in found.layouts.values()]
    categories = {(model.domain, model.name): model.categories for model in tables}
    down_to = tables_read(found.views)
    views = [served_view(view, down_to[view.domain, view.name], categories) for view in found.views]
    return [replace(model, links=found.links.get((model.domain, model.name), ())) for model in (*tables, *views)]


def model_states(db: Database, domains: Sequence[str]) -> list[ModelState]:
    """For each model the build that serves now, whether it is detached, and how many of its streams are parked."""
    tables = [model for model in served_models(domains) if (model.domain, model.name) in declared(domains).layouts]
    names = [m.domain for m in tables], [m.name for m in tables], [",".join(m.categories) for m in tables]
    return [ModelState(*row) for row in db.execute(_STATES.encode(), names).fetchall()]


def view_faults(db: Database, domains: Sequence[str]) -> list[ViewFault]:
    """The declared views that could not be made, each with its reason."""
    names = [(view.domain, view.name, view_fingerprint(view)) for view in declared(domains).views]
    columns = [list(column) for column in zip(*names, strict=True)] or [[], [], []]
    return [ViewFault(*row) for row in db.execute(_FAULTS, columns).fetchall()]
