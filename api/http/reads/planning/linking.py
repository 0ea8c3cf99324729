"""Embedded resources, planned: each against its own model, as the page's model is, and what it adds to the rows around it."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from refold.api.errors import ApiError, Fault, FilterInvalid
from refold.api.http.reads.language.tree import Condition, Embedded, Path, Query
from refold.api.http.reads.planning.column_values import Value
from refold.api.http.reads.planning.embedding import MOST_EMBEDDED, Embed, json_of
from refold.api.http.reads.planning.filtering import Given, judged
from refold.api.http.reads.planning.filtering import Shape as Filtering
from refold.api.http.reads.planning.ordering import finder, of_groups, of_rows
from refold.api.http.reads.planning.resources import Resource
from refold.api.http.reads.planning.showing import JSON, Shown, invalid, items_shown
from refold.api.http.wire.parameters import shown
from refold.api.reading_errors import RangeUnsatisfiable
from refold.projections.declaring.served_types import served_type
from refold.projections.tables.serving import ServedColumn

Parameter = Value | list[str] | int


class Linked(NamedTuple):
    """The embedded resources of a query by number, their values in order, and those of them that a client wrote."""

    embeds: tuple[Embed, ...] = ()
    values: tuple[Parameter, ...] = ()
    given: tuple[Given, ...] = ()


def linked(root: Resource, query: Query) -> Linked:
    """Plan what a query embeds. The rows that embed it are planned already. Raises as `plan_query`."""
    values: list[Parameter] = []
    given: list[Given] = []
    # Each is planned before what is embedded in it, which may be joined for the sake of its order or columns.
    embeds = [_planned(part, query, values, given) for part in root.all()]
    return Linked(tuple(embeds), tuple(values), tuple(given))


def conditions(here: Resource, query: Query, given: list[Given]) -> tuple[Filtering, ...]:
    """The filters of a resource; their values are put behind `given`. Raises as `judged`."""
    path = here.path
    if not path:
        return _conditions(here, path, query, given)
    found: list[Given] = []
    try:
        filters = _conditions(here, path, query, found)
    except ApiError as problem:
        raise _located(problem, path) from problem
    given += [one._replace(refused=partial(_refused_at, one, path)) for one in found]
    return filters


def _refused_at(given: Given, path: Path) -> ApiError:
    return _located(given.refused(), path)


def _located(problem: ApiError, path: Path) -> ApiError:
    """The error with the resource whose filter is at fault."""
    of = ".".join(path)
    if any(fault.field.startswith(f"{of}.") for fault in problem.faults):
        return problem
    message = f"{of}: {problem.message}"
    return type(problem)(
        message, *(Fault(f"{of}.{fault.field}"[:100], fault.code, message) for fault in problem.faults)
    )


def _conditions(here: Resource, path: Path, query: Query, given: list[Given]) -> tuple[Filtering, ...]:
    own = finder(here, "filter")
    if not here.parts:
        return tuple(judged(part, own, given) for of, part in query.filters if of == path)

    def embedded(part: Condition) -> int | None:
        inner = here.parts.get(part.column)
        if inner is None:
            return None
        if part.operator == "is" and part.value in {"null", "not_null"}:
            return inner.number
        if part.column in here.columns:
            return None
        message = f"{shown(part.column)} is embedded: it is.null or not, and its columns are filtered by {part.column}.column=eq.VALUE"
        raise FilterInvalid(message, Fault(part.column[:100], FilterInvalid.code, message))

    return tuple(judged(part, own, given, embedded) for of, part in query.filters if of == path)


def shown_of(here: Resource, table: str, *, grouped: bool) -> tuple[Shown, ...]:
    """What the rows of a resource show, or groups of rows. Raises SelectInvalid, OperatorUnfit."""
    own = finder(here, "select")
    if not here.parts:
        return items_shown(here.items, here.model.columns, own, table, every=_every(here, table))

    def embedded(item: Embedded) -> Sequence[Shown]:
        part = here.parts[item.name]
        joined = f'"_T{part.number}"'
        if item.spread:
            _to_one(part, "can be spread")
            part.joined = True
            return [_optional(one) for one in shown_of(part, joined, grouped=grouped)]
        if part.is_empty:
            return ()
        if not grouped:
            return [Shown(item.name, "", JSON, embedded=part.number)]
        _to_one(part, "can stand beside an aggregate, and be grouped by")
        if part.grouped:
            raise invalid(f"{shown(item.name)} is grouped by, so it has no aggregate of its own")
        part.joined = True
        return [Shown(item.name, json_of(shown_of(part, joined, grouped=True), part.number), JSON)]

    return items_shown(here.items, here.model.columns, own, table, embedded, _every(here, table))


def _every(here: Resource, table: str) -> str:
    """What `count()` counts: of a linked row whose columns are spread, whether it is there."""
    return f'{table}."_There"' if here.spread else "*"


def _optional(one: Shown) -> Shown:
    """A column of a linked row, which may not be there; nor is it a column of the row's own model."""
    return Shown(one.name, one.expression, one.kind, None, one.aggregate, nullable=True, embedded=one.embedded)


def _to_one(part: Resource, what: str) -> None:
    if part.many and part.asked is not None:
        raise invalid(f"a row may have several rows of {shown(part.asked.name)}; only a link to one row {what}")


def _planned(part: Resource, query: Query, values: list[Parameter], given: list[Given]) -> Embed:
    """One resource. Its filters are judged here, in the order in which `Embedding` numbers their values."""
    assert part.link is not None
    assert part.asked is not None
    assert part.parent is not None
    path, alias, first = part.path, f'"_E{part.number}"', len(values)
    order = dict(query.orders).get(path, ())
    flat = part.spread or part.parent.grouped or _is_flat(part.parent)
    items = () if flat or part.is_empty else shown_of(part, alias, grouped=part.grouped)
    terms = (
        of_groups(part, items, order, lambda place: items[place].expression)
        if part.grouped and not flat
        else of_rows(part, order, alias)
    )
    own: list[Given] = []
    filters = conditions(part, query, own)
    values += [one.value for one in own]
    given += own
    limit = _bound(_limit(dict(query.limits).get(path)), values)
    offset = _bound(dict(query.offsets).get(path), values)
    return Embed(
        parent=part.parent.number,
        view=(part.model.domain, part.model.name),
        pairs=tuple((mine, theirs, _is_text(part.columns[theirs])) for mine, theirs in part.link.pairs),
        many=part.many,
        single=not part.many and not part.model.reads,
        inner=part.asked.join == "inner",
        late=not flat and not part.is_empty,
        joined=part.joined,
        flat=flat,
        shown=items,
        filters=filters,
        terms=terms,
        first=first,
        limit=limit,
        offset=offset,
    )


def _is_flat(here: Resource) -> bool:
    """Whether a resource is a value of rows that are groups, so that what is embedded in it is, too."""
    while here.parent is not None:
        if here.parent.grouped:
            return True
        here = here.parent
    return False


def _limit(number: int | None) -> int | None:
    """A client's limit. One beyond ours is as none: more rows than ours are refused."""
    if number is not None and number < 0:
        raise RangeUnsatisfiable(f"limit is {number}, and cannot be negative")
    return None if number is None or number > MOST_EMBEDDED else number


def _bound(number: int | None, values: list[Parameter]) -> int | None:
    """The number of the value that binds a limit or an offset."""
    if number is None:
        return None
    values.append(number)
    return len(values) - 1


def _is_text(column: ServedColumn) -> bool:
    return served_type(column.sql_type).name in {"text", "bpchar"}
