"""What the API serves: each read model's view, its columns, and whether its table is what it should be."""

from collections.abc import Sequence
from dataclasses import dataclass

from refold.projections.declaration import View, handled
from refold.projections.declared import declared
from refold.projections.layout import Layout
from refold.streams.postgres import Database


@dataclass(frozen=True)
class ServedColumn:
    """A column of a view: its Postgres type, and its text for people."""

    name: str
    sql_type: str
    nullable: bool
    doc: str


@dataclass(frozen=True)
class ServedModel:
    """A read model as the view `<domain>.<name>`, and the categories whose events it is folded from.

    `reads`: of a declared SQL view the read models that its rows come from; empty where the model has a table of its own.
    """

    domain: str
    name: str
    doc: str
    columns: tuple[ServedColumn, ...]
    key: tuple[str, ...]
    categories: tuple[str, ...]
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelState:
    """The serving build of a model, and what is wrong with it: `missing`, `detached`, or streams that wait."""

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


_STATES = """
    SELECT d.domain, d.model, b.build, b.detached_code, b.detached_reason,
           (SELECT count(DISTINCT (p.category, p.stream)) FROM refold.parked p
             WHERE p.category = ANY(string_to_array(d.categories, ',')) AND p.build IN (0, b.build))
      FROM unnest(%s::text[], %s::text[], %s::text[]) AS d(domain, model, categories)
      LEFT JOIN refold.builds b ON (b.domain, b.model, b.status) = (d.domain, d.model, 'serving')
     ORDER BY 1, 2
"""


def served_models(domains: Sequence[str]) -> list[ServedModel]:
    """Every read model and SQL view that the domains declare."""
    found = declared(domains)
    tables = [_table(layout) for layout in found.layouts.values()]
    categories = {(model.domain, model.name): model.categories for model in tables}
    return [*tables, *(_view(view, categories) for view in found.views)]


def model_states(db: Database, domains: Sequence[str]) -> list[ModelState]:
    """Which build serves each model now, detached or not, and how many of its streams are parked."""
    tables = [model for model in served_models(domains) if (model.domain, model.name) in declared(domains).layouts]
    names = [m.domain for m in tables], [m.name for m in tables], [",".join(m.categories) for m in tables]
    return [ModelState(*row) for row in db.execute(_STATES, names).fetchall()]


def _table(layout: Layout) -> ServedModel:
    model = layout.model
    columns = tuple(ServedColumn(part.name, part.type.sql, not part.required, str(part.doc)) for part in layout.shown)
    categories = dict.fromkeys(kind.category.name for kind in handled(model))
    return ServedModel(model.domain, model.name, model.description, columns, tuple(layout.key_names), tuple(categories))


def _view(view: View, categories: dict[tuple[str, str], tuple[str, ...]]) -> ServedModel:
    columns = tuple(ServedColumn(name, kind, name not in view.key, doc) for name, (kind, doc) in view.columns.items())
    found = dict.fromkeys(category for name in view.reads for category in categories[view.domain, name])
    return ServedModel(view.domain, view.name, view.description, columns, view.key, tuple(found), tuple(view.reads))
