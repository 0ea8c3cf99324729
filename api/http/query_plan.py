"""Plan: a query compared with a read model's declaration, as one statement. The client's text is bound, never SQL."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from psycopg import sql

from refold.api.errors import CursorInvalid, Fault, FilterInvalid, OrderInvalid, RowKeyInvalid, UnknownParameter
from refold.api.http.column_values import Value, base_type, bound, read_value
from refold.api.http.query_request import Filter, Order, Query, shown
from refold.projections.serving import ServedColumn, ServedModel


@dataclass(frozen=True)
class Plan:
    """Rows to fetch: conditions with their values, a total order, one row more than the page to know of a next."""

    model: ServedModel
    conditions: tuple[sql.Composable, ...]
    values: tuple[Value, ...]
    order: tuple[Order, ...]
    limit: int
    binding: str

    def rows(self) -> sql.Composed:
        """The page as SQL, a row a JSON object; money as text, so that no client reads it as a float."""
        where = sql.SQL(" AND ").join(self.conditions) if self.conditions else sql.SQL("true")
        return sql.SQL("SELECT {columns} FROM {view} WHERE {where} ORDER BY {order} LIMIT {limit}").format(
            columns=sql.SQL(", ").join(_shown_as(column) for column in self.model.columns),
            view=sql.Identifier(self.model.domain, self.model.name),
            where=where,
            order=sql.SQL(", ").join(_ordered(self.model, term) for term in self.order),
            limit=sql.Literal(self.limit + 1),
        )

    def cursor_after(self, row: dict[str, Any]) -> str:
        """The cursor that goes on behind a row: its values of the ordered columns, bound to this query."""
        body = json.dumps([self.binding, [row[term.column] for term in self.order]], separators=(",", ":"))
        return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def plan_query(model: ServedModel, query: Query) -> Plan:
    """Raises UnknownParameter, FilterInvalid, OrderInvalid or CursorInvalid."""
    columns = {column.name: column for column in model.columns}
    planned = [_condition(columns, wanted) for wanted in query.filters]
    order = _total_order(model, columns, query.order)
    binding = _binding(model, query.filters, order)
    conditions = [condition for condition, _ in planned]
    values = [value for _, held in planned for value in held]
    if query.cursor is not None:
        after = _read_cursor(query.cursor, binding, [columns[term.column] for term in order])
        condition, further = _behind([(columns[term.column], term.descending) for term in order], after)
        conditions.append(condition)
        values += further
    return Plan(model, tuple(conditions), tuple(values), order, query.limit, binding)


def plan_row(model: ServedModel, key: Sequence[str]) -> Plan:
    """One row by its key. Raises RowKeyInvalid."""
    if len(key) != len(model.key):
        raise RowKeyInvalid(
            f"the key of {model.name} is {','.join(model.key)}: {len(model.key)} values, not {len(key)}"
        )
    filters = tuple(Filter(name, "eq", value) for name, value in zip(model.key, key, strict=True))
    try:
        return plan_query(model, Query(filters, limit=1))
    except FilterInvalid as problem:
        raise RowKeyInvalid(problem.message, *problem.faults) from None


def _condition(columns: dict[str, ServedColumn], wanted: Filter) -> tuple[sql.Composable, list[Value]]:
    column = columns.get(wanted.column)
    if column is None:
        message = (
            f"there is no column {shown(wanted.column)}; there are: {', '.join(columns)}, and order, limit, cursor"
        )
        raise UnknownParameter(message, Fault(wanted.column[:100], "parameter-unknown", message))
    if wanted.operator == "is":
        return sql.SQL("{} IS NULL").format(sql.Identifier(column.name)), []
    return sql.SQL("{} = {}").format(sql.Identifier(column.name), bound(column)), [read_value(column, wanted.value)]


def _total_order(model: ServedModel, columns: dict[str, ServedColumn], order: Sequence[Order]) -> tuple[Order, ...]:
    for term in order:
        if term.column not in columns:
            message = f"order: there is no column {shown(term.column)}; there are: {', '.join(columns)}"
            raise OrderInvalid(message, Fault("order", "order-invalid", message))
    named = {term.column for term in order}
    return (*order, *(Order(name) for name in model.key if name not in named))


def _behind(order: Sequence[tuple[ServedColumn, bool]], after: Sequence[Value]) -> tuple[sql.Composable, list[Value]]:
    """Rows that follow the given values. One row comparison where an index can serve it, else term by term."""
    directions = {descending for _, descending in order}
    if len(directions) == 1 and not any(column.nullable for column, _ in order):
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column, _ in order)
        places = sql.SQL(", ").join(bound(column) for column, _ in order)
        sign = sql.SQL("<" if directions == {True} else ">")
        return sql.SQL("({}) {} ({})").format(names, sign, places), list(after)
    options, values = [], list[Value]()
    for last in range(len(order)):
        terms = [_same(column) for column, _ in order[:last]]
        further, further_values = _further(*order[last], after[last])
        options.append(sql.SQL("({})").format(sql.SQL(" AND ").join([*terms, further])))
        values += [*after[:last], *further_values]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(options)), values


def _same(column: ServedColumn) -> sql.Composable:
    return sql.SQL("{} IS NOT DISTINCT FROM {}").format(sql.Identifier(column.name), bound(column))


def _further(column: ServedColumn, descending: bool, value: Value) -> tuple[sql.Composable, list[Value]]:  # noqa: FBT001
    """Postgres puts nulls last when ascending and first when descending."""
    name = sql.Identifier(column.name)
    if value is None:
        return (sql.SQL("{} IS NOT NULL").format(name) if descending else sql.SQL("false")), []
    if descending:
        return sql.SQL("{} < {}").format(name, bound(column)), [value]
    return sql.SQL("({name} > {value} OR {name} IS NULL)").format(name=name, value=bound(column)), [value]


def _binding(model: ServedModel, filters: Sequence[Filter], order: Sequence[Order]) -> str:
    """What a cursor belongs to; a cursor of another query would silently skip rows."""
    asked = [
        model.domain,
        model.name,
        sorted((f.column, f.operator, f.value) for f in filters),
        [(o.column, o.descending) for o in order],
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def _read_cursor(cursor: str, binding: str, columns: Sequence[ServedColumn]) -> list[Value]:
    try:
        body = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        bound_to, values = msgspec.json.decode(body, type=tuple[str, list[Value]])
        held = list(zip(columns, values, strict=True))
        read = [None if value is None else read_value(column, _as_text(value)) for column, value in held]
    except (ValueError, msgspec.MsgspecError, FilterInvalid):
        bound_to, read = "", []
    if bound_to != binding:
        message = "the cursor is not one of this query: same read model, same filters, same order"
        raise CursorInvalid(message, Fault("cursor", "cursor-invalid", message))
    return read


def _as_text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown_as(column: ServedColumn) -> sql.Composable:
    name = sql.Identifier(column.name)
    return sql.SQL("{0}::text AS {0}").format(name) if base_type(column) == "numeric" else name


def _ordered(model: ServedModel, term: Order) -> sql.Composable:
    """Named with its view: a bare name would be the page's column, which for money is text."""
    return sql.SQL("{} DESC" if term.descending else "{}").format(sql.Identifier(model.name, term.column))
