"""The order of rows: what a client asks for, then whatever makes it total."""

from collections.abc import Callable, Sequence

from refold.api.errors import Fault, OrderInvalid
from refold.api.http.reads.language.tree import Term as Asked
from refold.api.http.reads.planning.keyset import Term
from refold.api.http.reads.planning.names import no_such_column, not_embedded
from refold.api.http.reads.planning.pieces import identifier
from refold.api.http.reads.planning.resources import Resource
from refold.api.http.reads.planning.showing import JSON, Shown
from refold.api.http.wire.parameters import shown
from refold.projections.declaring.served_types import served_type
from refold.projections.tables.serving import ServedColumn


def finder(here: Resource, place: str, parameter: str | None = None) -> Callable[[str], ServedColumn]:
    """Finds a resource's columns by name; an unknown one is refused as of a `filter`, of `select` or of the `order` in `parameter`."""
    columns = here.columns

    def find(name: str) -> ServedColumn:
        found = columns.get(name)
        if found is None:
            raise no_such_column(here.model, name, place, here.path, parameter=parameter)
        return found

    return find


def of_rows(here: Resource, order: Sequence[Asked], table: str) -> tuple[Term, ...]:
    """The client's terms, then the key, then all other columns of a declared view, whose key may not be unique.

    A linked row that is ordered by is joined from here on. Raises OrderInvalid, ResourceUnknown.
    """
    model, own = here.model, finder(here, "order", _parameter(here))
    named = {term.column for term in order if term.of is None}
    further = [*model.key, *(here.columns if model.reads else ())]
    rest = [Asked(name) for name in dict.fromkeys(further) if name not in named]
    return tuple(
        _term(_column(table, own(term.column)) if term.of is None else _linked(here, term), term)
        for term in (*order, *rest)
    )


def of_groups(
    here: Resource, items: Sequence[Shown], order: Sequence[Asked], expression: Callable[[int], str]
) -> tuple[Term, ...]:
    """The client's terms, by a column that is grouped by or by a name of `select`; then the other columns that are grouped by.

    `expression`: the SQL of an item by its place.
    """
    places: dict[str, int] = {}
    for place, item in enumerate(items):
        places.setdefault(item.name, place)
    for place, item in enumerate(items):
        if item.column is not None:
            places[item.column.name] = place
    found: dict[int, Asked] = {}
    for term in order:
        if term.of is not None or term.column not in places:
            raise _no_order(here, term, list(places))
        found.setdefault(places[term.column], term)
    for place, item in enumerate(items):
        if not item.aggregate:
            found.setdefault(place, Asked(item.name))
    return tuple(
        _term(Shown("", expression(place), items[place].kind, nullable=True), term) for place, term in found.items()
    )


def _no_order(here: Resource, term: Asked, names: Sequence[str]) -> OrderInvalid:
    is_column = term.of is not None or term.column in here.columns
    name = term.column if term.of is None else f"{term.of}({term.column})"
    why = "is not grouped by" if is_column else "is no column"
    return _invalid(here, f"{shown(name)} {why}; rows of groups are ordered by {', '.join(names)}")


def _linked(here: Resource, term: Asked) -> Shown:
    """A column of a linked row, null where there is none."""
    name = term.of or ""
    part = here.parts.get(name)
    if part is None:
        raise not_embedded(here.model, name, (*here.path, name), here.names_of(name))
    if part.many:
        raise _invalid(here, f"a row may have several rows of {shown(name)}; only a link to one row can order")
    column = finder(part, "order", _parameter(here))(term.column)
    part.joined = True
    return _column(f'"_T{part.number}"', column, nullable=True)


def _column(table: str, column: ServedColumn, *, nullable: bool = False) -> Shown:
    name = f"{table}.{identifier(column.name)}"
    return Shown("", name, served_type(column.sql_type), column, nullable=nullable or column.nullable)


def _term(item: Shown, asked: Asked) -> Term:
    first = asked.descending if asked.nulls_first is None else asked.nulls_first
    cast = "text" if item.kind == JSON else item.kind.sql
    return Term(item.expression, cast, item.nullable, asked.descending, first)


def _parameter(here: Resource) -> str:
    return ".".join((*here.path, "order"))


def _invalid(here: Resource, message: str) -> OrderInvalid:
    of = _parameter(here)
    return OrderInvalid(f"{of}: {message}", Fault(of[:100], OrderInvalid.code, f"{of}: {message}"))
