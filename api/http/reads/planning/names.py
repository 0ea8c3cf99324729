"""Names that a query gets wrong: what there is instead, and what other query languages would have meant."""

from difflib import get_close_matches

from refold.api.errors import ApiError, Fault, OrderInvalid, UnknownParameter
from refold.api.http.reads.language.query_string import PARAMETERS
from refold.api.http.reads.language.tree import Path
from refold.api.http.wire.parameters import shown
from refold.api.reading_errors import ResourceUnknown, SelectInvalid
from refold.projections.tables.serving import ServedModel

_MEANT = {
    **dict.fromkeys(("fields", "column", "cols", "field", "attributes", "props", "include", "$select"), "choose columns with select=a,b"),
    **dict.fromkeys(("sort", "sortby", "sort_by", "orderby", "order_by", "ordering", "$orderby", "_sort"), "order with order=column.desc"),
    **dict.fromkeys(("page", "skip", "start", "from", "$skip", "_page"), "go to the next page by the Link of each answer, or with offset="),
    **dict.fromkeys(("size", "per_page", "page_size", "pagesize", "count", "top", "take", "max", "rows", "n", "$top", "_limit"), "bound the rows with limit="),
    **dict.fromkeys(("filter", "where", "q", "query", "search", "$filter"), "filter with column=operator.value, such as day=gte.2026-01-01"),
    **dict.fromkeys(("group", "groupby", "group_by", "$apply"), "group with select=column,total:other.sum()"),
    **dict.fromkeys(("sum", "avg", "min", "max", "aggregate"), "aggregate with select=column.sum()"),
    **dict.fromkeys(("expand", "embed", "with", "join", "$expand"), "embed linked rows with select=*,other(columns)"),
}  # fmt: skip


def no_such_column(model: ServedModel, name: str, place: str) -> ApiError:
    """The error for a name that is no column, in a `filter`, in `select` or in `order`."""
    columns = [column.name for column in model.columns]
    near = get_close_matches(name[:60], columns, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    if place == "filter" and not near and name in _MEANT:
        hint = f"; {_MEANT[name]}"
    there = f"there is no column {shown(name)}; there are: {', '.join(columns)}"
    if place == "filter":
        message = f"{there}, and {', '.join(PARAMETERS)}{hint}"
        return UnknownParameter(message, Fault(name[:100], "parameter-unknown", message))
    kind: type[OrderInvalid | SelectInvalid] = OrderInvalid if place == "order" else SelectInvalid
    return kind(f"{place}: {there}{hint}", Fault(place, kind.code, f"{there}{hint}"))


def no_such_resource(model: ServedModel, path: Path) -> ResourceUnknown:
    """The error for a resource that cannot be embedded, or that stands before a dot."""
    name = ".".join(path)
    message = f"{shown(name)}: no read model is linked to {model.name}, so none can be embedded; ask for each by itself"
    return ResourceUnknown(message, Fault(name[:100], ResourceUnknown.code, message))
