"""All read models of the configured domains, laid out once at start."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from refold.projections.declaring.declaration import EventType, ReadModel, View
from refold.projections.errors import BadDeclaration, UnknownModel
from refold.projections.tables.fingerprint import fingerprint, view_fingerprint
from refold.projections.tables.layout import Layout, layout_of
from refold.projections.tables.links import ServedLink, links_of
from refold.projections.tables.memories import read_types
from refold.projections.tables.view_order import in_order
from refold.streams.domain import domain_part, refuse_taken


@dataclass(frozen=True)
class Declared:
    """Layouts and fingerprints by (domain, model), the SQL views, and by category the event types that any model reads.

    Each view comes after those that it reads. `links`: of each read model that has any, in both directions.
    """

    layouts: dict[tuple[str, str], Layout]
    fingerprints: dict[tuple[str, str], str]
    views: tuple[View, ...]
    types: dict[str, list[EventType]]
    links: dict[tuple[str, str], tuple[ServedLink, ...]] = field(default_factory=dict)

    @property
    def all_fingerprints(self) -> dict[tuple[str, str], str]:
        """The fingerprints of the tables and of the SQL views."""
        return self.fingerprints | {(view.domain, view.name): view_fingerprint(view) for view in self.views}

    def named(self, name: str) -> Layout:
        """A model by name, or by domain.name. Raises UnknownModel."""
        found = [layout for (domain, model), layout in self.layouts.items() if name in (model, f"{domain}.{model}")]
        view = next((one for one in self.views if name in (one.name, f"{one.domain}.{one.name}")), None)
        if not found and view is not None:
            raise UnknownModel(
                f"{view.domain}.{view.name} is a declared view: it has no table of its own, and reads {', '.join(view.reads)}",
                "Name the read models that it reads.",
            )
        if len(found) != 1:
            there = ", ".join(sorted(f"{domain}.{model}" for domain, model in self.layouts))
            raise UnknownModel(
                f"{'no read model' if not found else 'more than one read model'} is named {name!r}; there are: {there}"
            )
        return found[0]


def declared(domains: Sequence[str]) -> Declared:
    """Import each domain's `projections`. Raises UnknownDomain, BadDeclaration."""
    return declared_of([model for name in domains for model in _of_domain(name)])


def _of_domain(name: str) -> Iterable[ReadModel]:
    """A domain's read models. Raises BadDeclaration for one of another domain: nobody would look for it there.

    The domain of a package is the one of its categories, or the last part of its name.
    """
    own = name.rpartition(".")[2]
    for model in domain_part(name, "projections", "READ_MODELS"):
        if isinstance(model, ReadModel) and model.domain != own:
            ours = sorted({own, *(one.domain for one in domain_part(name, "schemas", "CATEGORIES"))})
            if model.domain not in ours:
                raise BadDeclaration(
                    f"{model.name} is declared in {name}, and says that it is of the domain {model.domain}:"
                    f" write domain={' or '.join(map(repr, ours))}"
                )
        yield model


def declared_of(models: Sequence[ReadModel]) -> Declared:
    """Lay out read models. Raises BadDeclaration, NameTaken."""
    for model in models:
        if not isinstance(model, ReadModel):
            raise BadDeclaration(
                f"READ_MODELS holds {model!r}, which is no Rollup, Entity, EventTable, History or View"
            )
        refuse_taken(model.domain, model.name)
    _refuse_twice(models)
    views = in_order(models)
    layouts = [layout_of(model) for model in models if not isinstance(model, View)]
    layouts.sort(key=lambda layout: (layout.model.domain, layout.name))
    by_name = {(layout.model.domain, layout.name): layout for layout in layouts}
    prints = {name: fingerprint(layout.model) for name, layout in by_name.items()}
    return Declared(by_name, prints, views, types_of(layouts), links_of(models, by_name))


def types_of(layouts: Iterable[Layout]) -> dict[str, list[EventType]]:
    """The event types that models read, by category."""
    types: dict[str, dict[EventType, None]] = {}
    for layout in layouts:
        for kind in read_types(layout.model):
            types.setdefault(kind.category.name, {})[kind] = None
    return {category: list(found) for category, found in sorted(types.items())}


def _refuse_twice(models: Sequence[ReadModel]) -> None:
    for (domain, name), number in Counter((model.domain, model.name) for model in models).items():
        if number > 1:
            raise BadDeclaration(f"{domain}.{name} is declared {number} times: a read model or view has its name alone")
