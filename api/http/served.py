"""Read models as the API serves them: views `<domain>.<name>` with typed columns, from their declarations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from refold.projections.declaration import Model, ReadModel, View, handled
from refold.projections.layout import layout_of
from refold.streams.domain import domain_module


@dataclass(frozen=True)
class Column:
    """A column of a view: its Postgres type, and its text for people."""

    name: str
    sql_type: str
    nullable: bool
    doc: str


@dataclass(frozen=True)
class Served:
    """A read model, and the categories whose events it is folded from."""

    domain: str
    name: str
    doc: str
    columns: Sequence[Column]
    key: Sequence[str]
    categories: Sequence[str]


def served_models(domains: Iterable[str]) -> dict[tuple[str, str], Served]:
    """Every read model of the domains, by domain and name."""
    declared = [model for name in domains for model in domain_module(name, "projections").READ_MODELS]
    return {(model.domain, model.name): _served(model, declared) for model in declared}


def _served(model: ReadModel, declared: Sequence[ReadModel]) -> Served:
    if isinstance(model, View):
        return _served_view(model, [other for other in declared if not isinstance(other, View)])
    layout = layout_of(model)
    columns = [Column(part.name, part.type.sql, not part.required, part.doc or "") for part in layout.shown]
    return Served(model.domain, model.name, model.description, columns, layout.key_names, _categories([model]))


def _served_view(view: View, models: Sequence[Model]) -> Served:
    """Which models a view reads is its SQL's business: it waits for all of its domain."""
    columns = [Column(name, kind, nullable=True, doc=doc) for name, (kind, doc) in view.columns.items()]
    near = [model for model in models if model.domain == view.domain]
    return Served(view.domain, view.name, view.description, columns, view.key, _categories(near))


def _categories(models: Iterable[Model]) -> list[str]:
    return sorted({kind.category.name for model in models for kind in handled(model)})
