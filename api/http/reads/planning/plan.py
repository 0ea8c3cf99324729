"""Plan: checks a query against a read model's declaration, names before operators and operators before values, and makes its statement.

Our own names in a statement contain upper case letters, which authors' names cannot.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from refold.api.errors import FilterInvalid, RowKeyInvalid
from refold.api.http.reads.language.ranges import Rows
from refold.api.http.reads.language.tree import Column, Path, Query
from refold.api.http.reads.planning import cursors
from refold.api.http.reads.planning.column_values import Value
from refold.api.http.reads.planning.cursors import Cursor
from refold.api.http.reads.planning.filtering import Given, Test, given_key
from refold.api.http.reads.planning.keyset import ROWS_NAMED, VIEW
from refold.api.http.reads.planning.linking import Linked, Parameter, conditions, linked, shown_of
from refold.api.http.reads.planning.ordering import finder, of_groups, of_rows
from refold.api.http.reads.planning.resources import NONE, Models, Resource, resource_of, resources, together
from refold.api.http.reads.planning.shape import Form, Shape
from refold.projections.tables.serving import ServedColumn, ServedModel

MAX_LIMIT = 1000
"""Most rows of a page, and as many as come where no limit is asked for: what PostgREST calls `db-max-rows`."""
_MOVING = re.compile(r"(?<![a-z])(now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE)
"""Postgres reads them as times, also where a digit stands beside them: `12:00today`."""


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

    root: Resource
    shape: Shape
    values: tuple[Parameter, ...]
    given: tuple[Given, ...]
    query: Query
    cursor: Cursor | None = None
    offset: int = 0

    @property
    def model(self) -> ServedModel:
        """The read model of the path."""
        return self.root.model

    @property
    def embedded(self) -> list[Path]:
        """The paths of the embedded resources, by their numbers."""
        return [part.path for part in self.root.all()]

    @property
    def models(self) -> tuple[ServedModel, ...]:
        """Every read model whose rows are in the answer, each once."""
        return tuple(
            {(one.domain, one.name): one for one in (self.model, *(part.model for part in self.root.all()))}.values()
        )

    @property
    def source(self) -> ServedModel:
        """The read models of the answer as one, for what is said of their freshness."""
        return together(self.models) if self.root.parts else self.model

    @property
    def binding(self) -> str:
        """What a cursor of this query belongs to."""
        return _binding(self.root, self.query)

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
        binding, seen = self.binding, self.seen + rows
        if values is not None:
            return cursors.written(binding, Cursor(values=tuple(values), seen=seen))
        before = self.cursor.rows[:-1] if self.cursor is not None else ()
        rows_named = (*before, *hashes)[-ROWS_NAMED - 1 :]
        return cursors.written(binding, Cursor(rows=rows_named, seen=seen))


def plan_query(model: ServedModel, query: Query, wanted: Wanted | None = None, models: Models = NONE) -> Plan:
    """The plan of a page; `models` are those that may be embedded.

    Raises UnknownParameter, FilterInvalid, SelectInvalid, OrderInvalid, CursorInvalid and `reading_errors`.
    """
    wanted = wanted or Wanted()
    root = resources(model, query.select, models)
    _check_paths(root, query)
    grouped = root.grouped
    items = shown_of(root, '"_Rows"' if grouped else VIEW, grouped=grouped)
    terms = (
        of_groups(root, items, query.order, lambda place: f'{VIEW}."_G{place}"')
        if grouped
        else of_rows(root, query.order, VIEW)
    )
    parts = linked(root, query) if root.parts else Linked()
    given = list(parts.given)
    filters = conditions(root, query, given)
    cursor = None if query.cursor is None else cursors.read(query.cursor, _binding(root, query), len(terms))
    values: list[Parameter] = [*parts.values, *(one.value for one in given[len(parts.given) :])]
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
        _size(rows, wanted),
        bool(offset),
        None if cursor is None or cursor.rows else tuple(value is None for value in cursor.values),
        cursor is not None and bool(cursor.rows),
        form=wanted.form,
        total="none" if wanted.total in {"none", "planned"} else "exact" if wanted.total == "exact" else "bounded",
        embeds=parts.embeds,
        first=len(parts.values),
    )
    return Plan(root, shape, tuple(values), tuple(given), query, cursor, offset)


def plan_row(model: ServedModel, key: Sequence[str]) -> Plan:
    """The plan of one row by its key. Raises RowKeyInvalid."""
    if len(key) != len(model.key):
        raise RowKeyInvalid(
            f"the key of {model.name} is {','.join(model.key)}: {len(model.key)} values, not {len(key)}"
        )
    known = _ROWS.get((model.domain, model.name))
    if known is None or known.root.model is not model:
        known = _ROWS[model.domain, model.name] = _row_of(model)
    try:
        given = tuple(given_key(column, text) for column, text in zip(known.columns, key, strict=True))
    except FilterInvalid as problem:
        raise RowKeyInvalid(problem.message, *problem.faults) from None
    return Plan(known.root, known.shape, tuple(one.value for one in given), given, _ONE_ROW)


class _Row(NamedTuple):
    """The shape of the statement that finds one row of a model, and the columns of its key."""

    root: Resource
    columns: tuple[ServedColumn, ...]
    shape: Shape


_ROWS: dict[tuple[str, str], _Row] = {}
_ONE_ROW = Query(limit=1)


def _row_of(model: ServedModel) -> _Row:
    root = resource_of(model)
    key = tuple(root.columns[name] for name in model.key)
    tests = tuple(Test(column, "eq") for column in key)
    items = shown_of(root, VIEW, grouped=False)
    terms = of_rows(root, (), VIEW)
    return _Row(root, key, Shape((model.domain, model.name), items, tests, terms, 1, False, None, False))


def _size(rows: Rows, wanted: Wanted) -> int:
    """Rows of the page: as few as the client and our own bound say; of one row two, to know that it is not the only one."""
    limit = MAX_LIMIT if rows.limit is None else min(rows.limit, MAX_LIMIT)
    return min(limit, 2) if wanted.single else limit


def column_of(model: ServedModel, place: str) -> Callable[[str], ServedColumn]:
    """Finds a model's columns by name; an unknown one is refused as of a `filter`, of `select` or of `order`."""
    return finder(resource_of(model), place)


def _check_paths(root: Resource, query: Query) -> None:
    for path, _ in (*query.filters, *query.orders, *query.limits, *query.offsets):
        if path:
            root.at(path)


def _binding(root: Resource, query: Query) -> str:
    """What a cursor belongs to: the model, what is asked of it, and the order; not the page's size."""
    groups = [item for item in root.items if isinstance(item, Column)] if root.grouped else []
    asked = [sorted(map(repr, query.filters)), query.order, groups]
    if root.parts:
        asked += [[_embedded(part) for part in root.all()], query.limits, query.offsets]
    return cursors.bound_to(root.model.domain, root.model.name, *asked)


def _embedded(part: Resource) -> tuple[object, ...]:
    """What decides which rows embed a resource, and how they are grouped; the columns that it shows do not."""
    assert part.asked is not None
    grouped = part.parent is not None and part.parent.grouped
    return (*part.path, part.link, part.asked.join, part.items if grouped else ())
