"""Names that a query gets wrong: what there is instead, and what other query languages would have meant."""

from collections.abc import Sequence
from difflib import get_close_matches

from refold.api.errors import ApiError, Fault, OrderInvalid, UnknownParameter
from refold.api.http.reads.language.query_string import ASKED
from refold.api.http.reads.language.selecting import AGGREGATES
from refold.api.http.reads.language.tree import Column, Embedded, Path
from refold.api.http.wire.parameters import shown
from refold.api.reading_errors import ResourceAmbiguous, ResourceUnknown, SelectInvalid
from refold.projections.tables.serving import ServedLink, ServedModel

_MEANT = {
    **dict.fromkeys(("fields", "column", "cols", "field", "attributes", "props", "include", "$select"), "choose columns with select=a,b"),
    **dict.fromkeys(("sort", "sortby", "sort_by", "orderby", "order_by", "ordering", "$orderby", "_sort"), "order with order=column.desc"),
    **dict.fromkeys(("page", "skip", "start", "from", "$skip", "_page"), "go to the next page by the Link of each answer, or with offset="),
    **dict.fromkeys(("size", "per_page", "page_size", "pagesize", "count", "top", "take", "max", "rows", "n", "$top", "_limit"), "bound the rows with limit="),
    **dict.fromkeys(("filter", "where", "q", "query", "search", "$filter"), "filter with column=operator.value, such as day=gte.2026-01-01"),
    **dict.fromkeys(("group", "groupby", "group_by", "$apply"), "group with select=column,total:other.sum()"),
    **dict.fromkeys(("sum", "avg", "min", "max", "aggregate"), "aggregate with select=column.sum()"),
    **dict.fromkeys(("expand", "embed", "with", "join", "$expand"), "embed linked rows with select=*,other(columns)"),
    **dict.fromkeys(("at", "as_of", "asof", "version", "time", "timestamp"), "read it as it was with snapshot=NAME"),
}  # fmt: skip


def no_such_column(
    model: ServedModel,
    name: str,
    place: str,
    path: Path = (),
    asked: Sequence[str] = ASKED,
    parameter: str | None = None,
) -> ApiError:
    """The error for a name that is no column, in a `filter`, in `select` or in `order`; `path`: of an embedded resource.

    `asked`: the parameters that may be there besides; `parameter`: the one at fault, if it is not `place`.
    """
    within = f"{'.'.join(path)} has no column" if path else "there is no column"
    there = f"{within} {shown(name)}; there are: {', '.join(column.name for column in model.columns)}"
    hint = _hint(model, name, place)
    if place == "filter":
        of_query = "" if path else f", and {', '.join(asked)}"
        message = f"{there}{of_query}{hint}"
        return UnknownParameter(message, Fault(".".join((*path, name))[:100], "parameter-unknown", message))
    kind: type[OrderInvalid | SelectInvalid] = OrderInvalid if place == "order" else SelectInvalid
    of = parameter or place
    return kind(f"{of}: {there}{hint}", Fault(of, kind.code, f"{there}{hint}"))


def _hint(model: ServedModel, name: str, place: str) -> str:
    """What the client may have meant by a name that is no column."""
    if any(name in (link.name, link.to) for link in model.links):
        whole = {"select": f"{name}(*)", "order": f"order={name}(column)"}.get(place, f"select=*,{name}(*)")
        return f"; {name} is a link, and its rows are embedded: write {whole}"
    near = get_close_matches(name[:60], [column.name for column in model.columns], 1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; {_MEANT[name]}" if place == "filter" and name in _MEANT else ""


def no_such_resource(model: ServedModel, item: Embedded) -> ResourceUnknown:
    """The error for a resource to which no link leads, or for a hint that means none of the links."""
    hint = "" if item.hint is None else f" that {shown(item.hint)} would mean"
    function = ""
    if item.resource in AGGREGATES:
        of = next((one.name for one in item.items if isinstance(one, Column) and one.name), "")
        function = f"; to add up write select={f'{of}.' if of else ''}{item.resource}()"
    return _unknown(
        item.resource, f"no link from {model.name} to {shown(item.resource)}{hint}; {_links(model)}{function}"
    )


def not_embedded(model: ServedModel, name: str, path: Path, other_names: Sequence[str] = ()) -> ResourceUnknown:
    """The error for a filter, order or bound of a resource that `select` does not embed; `other_names`: those under which it does."""
    if other_names:
        message = (
            f"{shown(name)} is embedded as {', '.join(other_names)}: write {other_names[0]}, the name in the answer"
        )
        return _unknown(".".join(path), message)
    if all(name not in (link.name, link.to) for link in model.links):
        return _unknown(".".join(path), f"no link from {model.name} to {shown(name)}; {_links(model)}")
    return _unknown(".".join(path), f"{shown(name)} is not embedded; write select=*,{name}(*)")


def resource_away(model: ServedModel, link: ServedLink) -> ResourceUnknown:
    """The error for a link whose columns the tables do not have that serve now."""
    message = f"the tables that serve {model.name} and {link.to} now are of other code, without the link {link.name}"
    return _unknown(link.name, message)


def not_of_changes(model: ServedModel, path: Path) -> ResourceUnknown:
    """The error for a filter of another resource where one model's changes are asked for."""
    return _unknown(".".join(path), f"changes are those of {model.name} alone: nothing is embedded in them")


def ambiguous_resource(model: ServedModel, item: Embedded, found: Sequence[ServedLink]) -> ResourceAmbiguous:
    """The error for a resource to which several links lead."""
    ways = ", ".join(f"{item.resource}!{link.name}" for link in found)
    message = f"{len(found)} links lead from {model.name} to {shown(item.resource)}: write one of {ways}"
    return ResourceAmbiguous(message, Fault(item.resource[:100], ResourceAmbiguous.code, message))


def _links(model: ServedModel) -> str:
    if "@" in model.domain:  # no domain of an author has that in its name
        return "a snapshot has no linked rows: the other models stand where they stand now"
    if not model.links:
        return "it has no links"
    return "links: " + ", ".join(
        link.name if link.name == link.to else f"{link.name} (to {link.to})" for link in model.links
    )


def _unknown(name: str, message: str) -> ResourceUnknown:
    return ResourceUnknown(message, Fault(name[:100], ResourceUnknown.code, message))
