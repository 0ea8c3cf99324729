"""The read models that a query asks for: the one of the path, and those that `select` embeds in its rows, each found by a declared link."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import msgspec

from refold.api.errors import Fault
from refold.api.http.reads.language.query_string import ASKED
from refold.api.http.reads.language.scanner import misread
from refold.api.http.reads.language.tree import EVERYTHING, Column, Embedded, Item, Path
from refold.api.http.reads.planning.names import (
    ambiguous_resource,
    no_such_column,
    no_such_resource,
    not_embedded,
    resource_away,
)
from refold.api.http.wire.parameters import shown
from refold.api.reading_errors import QueryTooLarge, SelectInvalid
from refold.projections.tables.serving import ServedColumn, ServedLink, ServedModel

Models = Mapping[tuple[str, str], ServedModel]
MAX_RESOURCES = 20
"""Most resources that one query embeds: each is one more table to read."""
NONE: Models = MappingProxyType({})
PAGE = -1
"""The number of the read model of the path; embedded ones count from 0."""


@dataclass
class Resource:
    """A read model of a query. `parts`: what is embedded in its rows, by its name in the answer; `link`: from the row that it is embedded in.

    `joined`: its columns are needed while rows are found, since they are ordered or grouped by it, or spread.
    """

    model: ServedModel
    items: tuple[Item, ...]
    columns: dict[str, ServedColumn]
    number: int = PAGE
    asked: Embedded | None = None
    link: ServedLink | None = None
    parent: "Resource | None" = None
    parts: dict[str, "Resource"] = field(default_factory=dict)
    joined: bool = False

    @property
    def path(self) -> Path:
        """The names that lead to it from the read model of the query's path."""
        return () if self.parent is None or self.asked is None else (*self.parent.path, self.asked.name)

    @property
    def many(self) -> bool:
        """Whether there may be several rows of it."""
        return self.link is None or self.link.many

    @property
    def spread(self) -> bool:
        """Whether its columns are shown as if the row had them."""
        return self.asked is not None and self.asked.spread

    @property
    def grouped(self) -> bool:
        """Whether its rows are groups: it shows an aggregate, of its own or of what is spread in it."""
        if self.items is EVERYTHING:
            return False
        own = any(isinstance(item, Column) and item.aggregate for item in self.items)
        return own or any(part.spread and part.grouped for part in self.parts.values())

    @property
    def is_empty(self) -> bool:
        """Whether it shows nothing, like `household()`: then it is there for its filters only."""
        return all(isinstance(item, Embedded) and self.parts[item.name].is_empty for item in self.items)

    def all(self) -> Iterator["Resource"]:
        """Every embedded resource, each behind the one that it is embedded in."""
        for part in self.parts.values():
            yield part
            yield from part.all()

    def names_of(self, resource: str) -> list[str]:
        """The other names under which a resource is embedded here."""
        return [name for name, part in self.parts.items() if part.asked is not None and part.asked.resource == resource]

    def at(self, path: Path) -> "Resource":
        """The resource of a path. Raises ResourceUnknown."""
        found = self
        for name in path:
            inner = found.parts.get(name)
            if inner is None:
                raise not_embedded(found.model, name, path, found.names_of(name))
            found = inner
        return found


def resources(model: ServedModel, select: Sequence[Item], models: Models) -> Resource:
    """What a query asks for. Raises ResourceUnknown, ResourceAmbiguous, SelectInvalid, QueryTooLarge."""
    root = resource_of(model, select)
    if any(isinstance(item, Embedded) for item in root.items):
        _embed(root, models, [0])
    return root


def resource_of(model: ServedModel, select: Sequence[Item] = EVERYTHING) -> Resource:
    """A read model without anything embedded in it yet."""
    columns = {column.name: column for column in model.columns}
    return Resource(model, _items(columns, select), columns)


def check_name(
    model: ServedModel, models: Models = NONE, asked: Sequence[str] = ASKED
) -> Callable[[Sequence[Item], Path, str], None]:
    """Judges the names of filters before the filters are read; `asked`: the parameters that may be there besides.

    Raises UnknownParameter, and what `resources` raises.
    """
    columns = {column.name for column in model.columns}

    def check(select: Sequence[Item], path: Path, name: str) -> None:
        if not path and name in columns:
            return
        here = resources(model, select, models).at(path)
        if name not in here.parts and name not in here.columns:
            raise no_such_column(here.model, name, "filter", path, asked)

    return check


def together(models: Sequence[ServedModel]) -> ServedModel:
    """Several read models of a domain as one, for what is said of their rows together: they stand where all of them stand."""
    first, *others = models
    if not others:
        return first
    return replace(
        first,
        name=" with ".join([first.name, *sorted({model.name for model in others})]),
        categories=tuple(dict.fromkeys(category for model in models for category in model.categories)),
        reads=tuple(dict.fromkeys(table for model in models for table in model.reads or (model.name,))),
        fingerprint=" ".join(model.fingerprint for model in models),
    )


def _embed(here: Resource, models: Models, count: list[int]) -> None:
    for item in here.items:
        if not isinstance(item, Embedded):
            continue
        link = _link(here.model, item)
        model = models.get((here.model.domain, link.to))
        if model is None or not _fits(link, here.model, model):
            raise resource_away(here.model, link)
        if item.name in here.parts:
            message = (
                f"two resources are named {shown(item.name)}; give one of them another name: other:{item.resource}(...)"
            )
            raise SelectInvalid(f"select: {message}", Fault("select", SelectInvalid.code, message))
        part = resource_of(model, item.items)
        part.number, part.asked, part.link, part.parent = count[0], item, link, here
        count[0] += 1
        if count[0] > MAX_RESOURCES:
            raise misread(QueryTooLarge, "select", f"a query embeds at most {MAX_RESOURCES} resources")
        here.parts[item.name] = part
        _embed(part, models, count)


def _link(model: ServedModel, item: Embedded) -> ServedLink:
    """The link that an embedded resource names: by its own name, by the model that it leads to, or by the column that it goes by.

    A hint chooses among several.
    """
    found = [link for link in model.links if item.resource in (link.name, link.to)]
    found = found or [link for link in model.links if _goes_by(link, item.resource)]
    if item.hint is not None:
        found = [link for link in found if link.name == item.hint] or [
            link for link in found if _hints(link, item.hint)
        ]
    if not found:
        raise no_such_resource(model, item)
    found = [link for link in found if link.name == item.resource] or found
    if item.resource == model.name and len({link.declared for link in found}) == 1:
        found = [link for link in found if link.name != link.declared] or found  # by the model's own name: its children
    if len(found) > 1:
        raise ambiguous_resource(model, item, found)
    return found[0]


def _goes_by(link: ServedLink, column: str) -> bool:
    """Whether an author declared the link by this single column of the model itself."""
    return link.name == link.declared and len(link.pairs) == 1 and link.pairs[0][0] == column


def _hints(link: ServedLink, hint: str) -> bool:
    """Whether a hint means this link: by its name in either direction, or by its single column on either side."""
    return hint in (link.name, link.declared) or (len(link.pairs) == 1 and hint in link.pairs[0])


def _fits(link: ServedLink, here: ServedModel, there: ServedModel) -> bool:
    """Whether both tables have the link's columns: during a deploy one of them may be of other code."""
    own, theirs = ({column.name for column in model.columns} for model in (here, there))
    return all(left in own and right in theirs for left, right in link.pairs)


def _items(columns: Mapping[str, ServedColumn], items: Sequence[Item]) -> tuple[Item, ...]:
    """The items, with `count` as clients wrote it before there was `count()`, unless there is a column of that name."""
    if items is EVERYTHING:
        return EVERYTHING
    if "count" in columns:
        return tuple(items)
    return tuple(
        msgspec.structs.replace(item, name=None, aggregate="count", cast=None, aggregate_cast=item.cast)
        if isinstance(item, Column) and item.name == "count" and item.aggregate is None
        else item
        for item in items
    )
