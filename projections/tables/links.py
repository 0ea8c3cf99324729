"""The links of read models in both directions, checked against each other: the other model is there, and its key has the columns' types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refold.projections.declaring.declaration import ReadModel, View
from refold.projections.declaring.links import Link
from refold.projections.declaring.served_types import served_type
from refold.projections.errors import BadDeclaration
from refold.projections.tables.layout import Layout

Name = tuple[str, str]
_ALIKE = {"smallint": "whole", "integer": "whole", "bigint": "whole"}
"""Types whose values Postgres compares with each other by an index."""


@dataclass(frozen=True)
class ServedLink:
    """A link of a read model to the read model `to` of its domain.

    `pairs`: its own column and the other's, whose values are equal in linked rows. `many`: a row may have several linked rows, else one
    at most. `declared`: the name under which an author declared the link, in either direction.
    """

    name: str
    to: str
    pairs: tuple[tuple[str, str], ...]
    many: bool
    doc: str
    declared: str


@dataclass(frozen=True)
class _Side:
    """What a link needs of a model: its key, and the types of all columns."""

    key: tuple[str, ...]
    types: Mapping[str, str]
    is_view: bool


def links_of(models: Sequence[ReadModel], layouts: Mapping[Name, Layout]) -> dict[Name, tuple[ServedLink, ...]]:
    """The links of each read model that has any. Raises BadDeclaration."""
    sides = {(model.domain, model.name): _side(model, layouts) for model in models}
    found: dict[Name, dict[str, ServedLink]] = {}
    for model in models:
        for name, link in model.links.items():
            here, there = (model.domain, model.name), (model.domain, link.to)
            where = f"{model.name}: the link {name}"
            if there not in sides:
                names = sorted(other for of, other in sides if of == model.domain)
                raise BadDeclaration(
                    f"{where} leads to {link.to}, which {model.domain} does not have; there are {', '.join(names)}"
                )
            _check_types(where, link, sides[here], sides[there])
            # Each row of the other model is named by one row at most where the columns are the whole key; a view promises none.
            many = sides[here].is_view or set(link.own) != set(sides[here].key)
            pairs = tuple(zip(link.own, sides[there].key, strict=True))
            back = link.reverse or model.name
            _put(found, sides, here, ServedLink(name, link.to, pairs, many=False, doc=link.doc, declared=name))
            turned = tuple((theirs, own) for own, theirs in pairs)
            text = link.reverse_doc or f"Rows of {model.name} whose {name} this is."
            _put(found, sides, there, ServedLink(back, model.name, turned, many=many, doc=text, declared=name))
    return {name: tuple(links.values()) for name, links in found.items()}


def _put(found: dict[Name, dict[str, ServedLink]], sides: Mapping[Name, _Side], name: Name, link: ServedLink) -> None:
    links = found.setdefault(name, {})
    if link.name in links or link.name in sides[name].types:
        what = "another link" if link.name in links else "a column"
        raise BadDeclaration(
            f"{name[1]}: the link {link.name} has the name of {what}; the link {link.declared} takes another name"
            f" there with reverse="
        )
    links[link.name] = link


def _side(model: ReadModel, layouts: Mapping[Name, Layout]) -> _Side:
    if isinstance(model, View):
        return _Side(model.key, {name: kind for name, (kind, _) in model.columns.items()}, is_view=True)
    layout = layouts[model.domain, model.name]
    return _Side(tuple(layout.key_names), {part.name: part.type.sql for part in layout.shown}, is_view=False)


def _check_types(where: str, link: Link, here: _Side, there: _Side) -> None:
    if len(link.own) != len(there.key):
        raise BadDeclaration(
            f"{where} has {len(link.own)} columns, and the key of {link.to} has {len(there.key)}: {', '.join(there.key)}"
        )
    for own, theirs in zip(link.own, there.key, strict=True):
        ours, others = served_type(here.types[own]), served_type(there.types[theirs])
        if ours.array or others.array or _ALIKE.get(ours.name, ours.name) != _ALIKE.get(others.name, others.name):
            raise BadDeclaration(
                f"{where}: {own} is {here.types[own]}, and {link.to}.{theirs} is {there.types[theirs]}; they are never equal"
            )
