"""Plan: checks a query against a read model's declaration, names before operators and operators before values, and makes its statement.

Our own names in a statement contain upper case letters, which authors' names cannot.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from refold.api.errors import Fault, FilterInvalid, OrderInvalid, RowKeyInvalid
from refold.api.http.reads.language.ranges import Rows
from refold.api.http.reads.language.tree import Column, Embedded, Path, Query
from refold.api.http.reads.language.tree import Term as Asked
from refold.api.http.reads.planning import cursors
from refold.api.http.reads.planning.column_values import Value
from refold.api.http.reads.planning.cursors import Cursor
from refold.api.http.reads.planning.filtering import Given, Test, given_key, judged
from refold.api.http.reads.planning.keyset import ROWS_NAMED, VIEW, Term
from refold.api.http.reads.planning.names import no_such_column, no_such_resource
from refold.api.http.reads.planning.pieces import identifier
from refold.api.http.reads.planning.shape import Form, Shape
from refold.api.http.reads.planning.showing import Shown, items_shown
from refold.api.http.wire.parameters import shown
from refold.projections.declaring.served_types import served_type
from refold.projections.tables.serving import ServedColumn, ServedModel

MAX_LIMIT = 1000
"""Most rows of a page, and as many as come where no limit is asked for: what PostgREST calls `db-max-rows`."""
_MOVING = re.compile(r"(?<![a-z])(now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE)
"""Postgres reads them as times, also where a digit stands beside them: `12:00today`."""
Parameter = Value | list[str] | int


def is_moving(value: Parameter | None) -> bool:
    """Whether a value of a column of times may mean another time tomorrow."""
    return isinstance(value, str) and _MOVING.search(value) is not None


class Wanted(NamedTuple):
    """How an answer is to be made: its form, its total, its rows as the query and the `Range` header say, and whether it is one row."""

    form: Form = "json"
    total: str = "none"
    rows: Rows | None = None
    single: bool = False


class Plan(NamedTuple):
    """A query of a model as the shape of its statement, and the values that the statement binds, by their numbers."""

    model: ServedModel
    shape: Shape
    values: tuple[Parameter, ...]
    given: tuple[Given, ...]
    query: Query
    cursor: Cursor | None = None
    offset: int = 0

    @property
    def seen(self) -> int:
        """The rows before this page."""
        return self.cursor.seen if self.cursor is not None else self.offset

    @property
    def moving(self) -> bool:
        """Whether a value may mean another time tomorrow, so that the same rows can have another answer."""
        return any(is_moving(value) for value in self.values)

    def cut(self) -> "Plan":
        """The same page, ending early where its values are too large."""
        return self._replace(shape=msgspec.structs.replace(self.shape, cut=True))

    def cursor_after(self, rows: int, values: Sequence[Value] | None, hashes: Sequence[str]) -> str:
        """The cursor to the page after this one of some rows: by the last row's values, or by hashes."""
        binding, seen = _binding(self.model, self.query), self.seen + rows
        if values is not None:
            return cursors.written(binding, Cursor(values=tuple(values), seen=seen))
        before = self.cursor.rows[:-1] if self.cursor is not None else ()
        rows_named = (*before, *hashes)[-ROWS_NAMED - 1 :]
        return cursors.written(binding, Cursor(rows=rows_named, seen=seen))


def plan_query(model: ServedModel, query: Query, wanted: Wanted | None = None) -> Plan:
    """The plan of a page. Raises UnknownParameter, FilterInvalid, SelectInvalid, OrderInvalid, CursorInvalid and `reading_errors`."""
    wanted = wanted or Wanted()
    columns = {column.name: column for column in model.columns}
    _check_paths(model, query)
    given: list[Given] = []
    filters = tuple(judged(part, _finder(model, columns, "filter"), given) for _, part in query.filters)
    grouped = any(isinstance(item, Column) and item.aggregate for item in query.select)
    items = items_shown(query.select, model.columns, _finder(model, columns, "select"), '"_Rows"' if grouped else VIEW)
    terms = _of_groups(items, columns, query.order) if grouped else _of_rows(model, columns, query.order)
    cursor = None if query.cursor is None else cursors.read(query.cursor, _binding(model, query), len(terms))
    values: list[Parameter] = [one.value for one in given]
    if cursor is not None and cursor.rows:
        values += [cursor.rows[-1], list(cursor.rows)]
    elif cursor is not None:
        values += cursor.values
        given += [
            Given(value, f"%s::{term.cast}", cursors.not_ours) for term, value in zip(terms, cursor.values, strict=True)
        ]
    rows = wanted.rows or Rows(query.offset, query.limit)
    offset = rows.offset if cursor is None else 0
    if offset:
        values.append(offset)
    shape = Shape(
        (model.domain, model.name),
        items,
        filters,
        terms,
        _limit(rows, wanted),
        bool(offset),
        None if cursor is None or cursor.rows else tuple(value is None for value in cursor.values),
        cursor is not None and bool(cursor.rows),
        form=wanted.form,
        total="none" if wanted.total in {"none", "planned"} else "exact" if wanted.total == "exact" else "bounded",
    )
    return Plan(model, shape, tuple(values), tuple(given), query, cursor, offset)


def plan_row(model: ServedModel, key: Sequence[str]) -> Plan:
    """The plan of one row by its key. Raises RowKeyInvalid."""
    if len(key) != len(model.key):
        raise RowKeyInvalid(
            f"the key of {model.name} is {','.join(model.key)}: {len(model.key)} values, not {len(key)}"
        )
    known = _ROWS.get((model.domain, model.name))
    if known is None or known.model is not model:
        known = _ROWS[model.domain, model.name] = _row_of(model)
    try:
        given = tuple(given_key(column, text) for column, text in zip(known.columns, key, strict=True))
    except FilterInvalid as problem:
        raise RowKeyInvalid(problem.message, *problem.faults) from None
    return Plan(model, known.shape, tuple(one.value for one in given), given, _ONE_ROW)


class _Row(NamedTuple):
    """The shape of the statement that finds one row of a model, and the columns of its key."""

    model: ServedModel
    columns: tuple[ServedColumn, ...]
    shape: Shape


_ROWS: dict[tuple[str, str], _Row] = {}
_ONE_ROW = Query(limit=1)


def _row_of(model: ServedModel) -> _Row:
    columns = {column.name: column for column in model.columns}
    key = tuple(columns[name] for name in model.key)
    tests = tuple(Test(column, "eq") for column in key)
    terms = _of_rows(model, columns, ())
    items = items_shown(_ONE_ROW.select, model.columns, _finder(model, columns, "select"), VIEW)
    return _Row(model, key, Shape((model.domain, model.name), items, tests, terms, 1, False, None, False))


def _limit(rows: Rows, wanted: Wanted) -> int:
    """Rows of the page: as few as the client and our own bound say; of one row two, to know that it is not the only one."""
    limit = MAX_LIMIT if rows.limit is None else min(rows.limit, MAX_LIMIT)
    return min(limit, 2) if wanted.single else limit


def check_name(model: ServedModel) -> Callable[[Path, str], None]:
    """Judges the names of filters before the filters are read. Raises UnknownParameter."""
    columns = {column.name for column in model.columns}

    def check(path: Path, name: str) -> None:
        if path:
            raise no_such_resource(model, path)
        if name not in columns:
            raise no_such_column(model, name, "filter")

    return check


def column_of(model: ServedModel, place: str) -> Callable[[str], ServedColumn]:
    """Finds a model's columns by name; an unknown one is refused as of a `filter`, of `select` or of `order`."""
    return _finder(model, {column.name: column for column in model.columns}, place)


def _finder(model: ServedModel, columns: dict[str, ServedColumn], place: str) -> Callable[[str], ServedColumn]:
    def find(name: str) -> ServedColumn:
        found = columns.get(name)
        if found is None:
            raise no_such_column(model, name, place)
        return found

    return find


def _check_paths(model: ServedModel, query: Query) -> None:
    for path, _ in (*query.filters, *query.orders, *query.limits, *query.offsets):
        if path:
            raise no_such_resource(model, path)
    for item in query.select:
        if isinstance(item, Embedded):
            raise no_such_resource(model, (item.resource,))


def _binding(model: ServedModel, query: Query) -> str:
    """What a cursor belongs to: the model, what is asked of it, and the order; not the page's size."""
    groups = [
        item
        for item in query.select
        if isinstance(item, Column) and any(isinstance(one, Column) and one.aggregate for one in query.select)
    ]
    return cursors.bound_to(model.domain, model.name, sorted(map(repr, query.filters)), query.order, groups)


def _of_rows(model: ServedModel, columns: dict[str, ServedColumn], order: Sequence[Asked]) -> tuple[Term, ...]:
    """The client's terms, then the key, then all other columns of a declared view, whose key may not be unique."""
    asked = [(_finder(model, columns, "order")(term.column), term) for term in order]
    further = [*model.key, *(columns if model.reads else ())]
    named = {term.column for term in order}
    rest = [(columns[name], Asked(name)) for name in dict.fromkeys(further) if name not in named]
    return tuple(
        _term(Shown("", f"{VIEW}.{identifier(c.name)}", served_type(c.sql_type), c, nullable=c.nullable), term)
        for c, term in (*asked, *rest)
    )


def _of_groups(items: Sequence[Shown], columns: dict[str, ServedColumn], order: Sequence[Asked]) -> tuple[Term, ...]:
    """The client's terms, by a column that is grouped by or by a name of `select`; then the other columns that are grouped by."""
    places: dict[str, int] = {}
    for place, item in enumerate(items):
        places.setdefault(item.name, place)
    for place, item in enumerate(items):
        if item.column is not None:
            places[item.column.name] = place
    found: dict[int, Asked] = {}
    for term in order:
        if term.column not in places:
            why = "is not grouped by" if term.column in columns else "is no column"
            message = f"order: {shown(term.column)} {why}; rows of groups are ordered by {', '.join(places)}"
            raise OrderInvalid(message, Fault("order", "order-invalid", message))
        found.setdefault(places[term.column], term)
    for place, item in enumerate(items):
        if not item.aggregate:
            found.setdefault(place, Asked(item.name))
    return tuple(
        _term(msgspec.structs.replace(items[place], expression=f'{VIEW}."_G{place}"', nullable=True), term)
        for place, term in found.items()
    )


def _term(item: Shown, asked: Asked) -> Term:
    first = asked.descending if asked.nulls_first is None else asked.nulls_first
    return Term(item.expression, item.kind.sql, item.nullable, asked.descending, first)
