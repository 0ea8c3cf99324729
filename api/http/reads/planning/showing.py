"""What a query shows: columns with casts, and aggregates over groups, each with the type that Postgres gives it."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec

from refold.api.errors import Fault
from refold.api.http.reads.language.tree import EVERYTHING, Column, Embedded, Item, Star
from refold.api.http.reads.planning.pieces import identifier
from refold.api.http.wire.parameters import shown
from refold.api.reading_errors import OperatorUnfit, SelectInvalid
from refold.projections.declaring.served_types import ServedType, served_type
from refold.projections.errors import BadDeclaration
from refold.projections.tables.serving import ServedColumn

_WHOLE = frozenset({"smallint", "integer", "bigint"})
_SUMS = {
    "smallint": "bigint", "integer": "bigint", "bigint": "numeric", "numeric": "numeric",
    "real": "real", "double precision": "double precision", "interval": "interval",
}  # fmt: skip
_MEANS = {
    **dict.fromkeys([*_WHOLE, "numeric"], "numeric"),
    "real": "double precision",
    "double precision": "double precision",
    "interval": "interval",
}
_UNORDERED = frozenset({"boolean", "uuid", "jsonb", "bytea"})
"""Types of which Postgres knows no least or greatest value; some of them only in older versions."""

_MODELS = 256
"""Most read models whose columns are kept as they are shown."""


class Shown(msgspec.Struct, frozen=True):
    """A column of the answer: its name there, its SQL over `table`, and its type. `column` is the plain column that it shows.

    `embedded`: the number of the resource whose rows it shows as JSON; it has no SQL of its own then.
    """

    name: str
    expression: str
    kind: ServedType
    column: ServedColumn | None = None
    aggregate: bool = False
    nullable: bool = True
    embedded: int | None = None


JSON = ServedType("json")
"""Of embedded rows: as text, or as what Postgres writes into JSON unchanged."""


def items_shown(
    items: Sequence[Item],
    columns: tuple[ServedColumn, ...],
    column: Callable[[str], ServedColumn],
    table: str,
    embedded: Callable[[Embedded], Sequence[Shown]] = lambda _: (),
    every: str = "*",
) -> tuple[Shown, ...]:
    """The columns of an answer. `every`: what `count()` counts. Raises SelectInvalid, OperatorUnfit.

    `*` leaves out a column whose name an embedded resource has: a row shows one of them only.
    """
    if items is EVERYTHING:
        return _all(columns, table)
    found: list[Shown] = []
    taken = {item.name for item in items if isinstance(item, Embedded) and not item.spread}
    for item in items:
        if isinstance(item, Star):
            found += [one for one in _all(columns, table) if one.name not in taken] if taken else _all(columns, table)
        elif isinstance(item, Embedded):
            found += embedded(item)
        else:
            found.append(_item(item, column, table, every))
    if any(one.aggregate for one in found) and any(isinstance(item, Star) for item in items):
        raise invalid("an aggregate is shown beside the columns that it is grouped by, not beside `*`: name them")
    return tuple(found)


def is_grouped(items: Sequence[Shown]) -> bool:
    """Whether rows are groups of rows."""
    return any(item.aggregate for item in items)


def invalid(message: str) -> SelectInvalid:
    """The error for something in `select`."""
    return SelectInvalid(f"select: {message}", Fault("select", SelectInvalid.code, message))


def as_json(kind: ServedType, value: str) -> str:
    """The value as JSON shows it: decimals as text, so that no client reads them as floats."""
    if kind.name == JSON.name:
        return f"{value}::json"
    return f"{value}::text{'[]' * kind.array}" if kind.name == "numeric" else value


@lru_cache(maxsize=_MODELS)
def _all(columns: tuple[ServedColumn, ...], table: str) -> tuple[Shown, ...]:
    """Every column, as most queries show them. Kept: to write the names anew took a seventh of a single row's time."""
    return tuple(_plain(column, table) for column in columns)


def _plain(column: ServedColumn, table: str) -> Shown:
    name = f"{table}.{identifier(column.name)}"
    return Shown(column.name, name, served_type(column.sql_type), column, nullable=column.nullable)


def _item(item: Column, column: Callable[[str], ServedColumn], table: str, every: str) -> Shown:
    if item.name is None:
        number = Shown(item.alias or "count", f"count({every})", ServedType("bigint"), None, aggregate=True)
        return _cast(number, item.aggregate_cast)
    found = _cast(_plain(column(item.name), table), item.cast)
    if item.aggregate is not None:
        found = _cast(_aggregated(found, item.aggregate, item.name), item.aggregate_cast)
    return msgspec.structs.replace(found, name=item.alias or (item.aggregate or item.name))


def _cast(found: Shown, cast: str | None) -> Shown:
    """The value as another type; one of those that a column may have."""
    if cast is None:
        return found
    try:
        kind = served_type(cast)
    except BadDeclaration:
        raise invalid(
            f"there is no type {shown(cast)}; docs/reading.md lists them, such as text, integer, numeric, float8, date"
        ) from None
    return msgspec.structs.replace(
        found, expression=f"({found.expression})::{kind.sql}", kind=kind, column=None, nullable=True
    )


def _aggregated(found: Shown, aggregate: str, name: str) -> Shown:
    kind = found.kind
    if aggregate == "count":
        result: ServedType | None = ServedType("bigint")
    elif aggregate in {"min", "max"}:
        result = None if kind.name in _UNORDERED and not kind.array else kind
    else:
        of = (_SUMS if aggregate == "sum" else _MEANS).get(kind.name)
        result = None if of is None or kind.array else ServedType(of)
    if result is None:
        message = f"{name}.{aggregate}(): there is none of {kind.sql}"
        raise OperatorUnfit(message, Fault(name[:100], OperatorUnfit.code, message))
    return Shown(found.name, f"{aggregate}({found.expression})", result, None, aggregate=True)
