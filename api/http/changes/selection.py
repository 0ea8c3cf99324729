"""The rows of a model that one subscriber sees, by its filters, as statements. Values are bound, never SQL."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from psycopg import sql

from refold.api.http.reads.language.tree import Query
from refold.api.http.reads.planning import cursors, keyset
from refold.api.http.reads.planning.filtering import Given, Joined, Shape, Test, There, judged, sql_of
from refold.api.http.reads.planning.names import not_of_changes
from refold.api.http.reads.planning.pieces import Numbers
from refold.api.http.reads.planning.plan import column_of, is_moving
from refold.api.http.reads.planning.showing import as_json
from refold.api.http.wire.parameters import bad_filter, shown
from refold.projections.declaring.served_types import served_type
from refold.projections.partials.touched import Key
from refold.projections.tables.serving import ServedColumn, ServedModel

MOST_ROWS = 10_000
"""Most rows with which a stream begins."""
VIEW, _KEY = sql.Identifier("_View"), sql.Identifier("_Key")
Asked = tuple[sql.Composed, list[Any]]
"""A statement and its values."""


@dataclass(frozen=True)
class Condition:
    """A condition on rows with its values. One `of_key` alone tells of a key whether any row of it can be shown."""

    sql: sql.Composable
    values: tuple[Any, ...]
    of_key: bool


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows of a model under some conditions. Selections with the same `name` show the same rows."""

    name: str
    model: ServedModel
    conditions: tuple[Condition, ...]
    given: tuple[Given, ...]

    def whole(self) -> Asked:
        """Asks for every row: (key, row) as JSON. At most MOST_ROWS and one more."""
        where, values = _joined(self.conditions)
        rows = sql.SQL("SELECT {key}, {row} FROM {view} AS {name} WHERE {where} ORDER BY {order} LIMIT {most}").format(
            key=_json(self._keys, VIEW),
            row=_json(self.model.columns, VIEW),
            view=self._view,
            name=VIEW,
            where=where,
            order=sql.SQL(", ").join(_of(VIEW, column) for column in self._keys),
            most=sql.Literal(MOST_ROWS + 1),
        )
        return rows, values

    def changed(self, keys: Sequence[Key]) -> Iterator[Asked]:
        """Asks for the rows of some keys: (key, row) as JSON, the row null where none is shown.

        One statement for each set of key columns that are null: an index finds `=` and `IS NULL`, and nothing else.
        """

        def nulls(key: Key) -> tuple[bool, ...]:
            return tuple(part is None for part in key)

        for which, some in groupby(sorted(keys, key=nulls), key=nulls):
            yield self._of_keys(which, list(some))

    def _of_keys(self, nulls: Sequence[bool], keys: Sequence[Key]) -> Asked:
        of_keys, key_values = _joined([one for one in self.conditions if one.of_key])
        others, values = _joined([one for one in self.conditions if not one.of_key])
        same = [
            sql.SQL("{} IS NULL").format(_of(VIEW, column))
            if is_null
            else sql.SQL("{} = {}").format(_of(VIEW, column), _of(_KEY, column))
            for column, is_null in zip(self._keys, nulls, strict=True)
        ]
        asked = sql.SQL(
            "WITH {keys} AS (SELECT * FROM unnest({arrays}) AS {name} ({names}) WHERE {of_keys})"
            ' SELECT {key}, "_Shown"."_Row" FROM {keys} LEFT JOIN LATERAL ('
            'SELECT {row} AS "_Row" FROM {view} AS {name} WHERE {same} AND {others}) "_Shown" ON true'
        ).format(
            keys=_KEY,
            arrays=sql.SQL(", ").join(
                sql.SQL("%s::" + served_type(column.sql_type).sql + "[]") for column in self._keys
            ),
            name=VIEW,
            names=sql.SQL(", ").join(sql.Identifier(column.name) for column in self._keys),
            of_keys=of_keys,
            key=_json(self._keys, _KEY),
            row=_json(self.model.columns, VIEW),
            view=self._view,
            same=sql.SQL(" AND ").join(same),
            others=others,
        )
        return asked, [*(list(column) for column in zip(*keys, strict=True)), *key_values, *values]

    @property
    def _view(self) -> sql.Identifier:
        return sql.Identifier(self.model.domain, self.model.name)

    @property
    def _keys(self) -> list[ServedColumn]:
        columns = {column.name: column for column in self.model.columns}
        return [columns[name] for name in self.model.key]


def select(model: ServedModel, query: Query) -> Selection:
    """The selection of a query's filters. Raises UnknownParameter, FilterInvalid, and what else a filter can be refused for."""
    found: list[Condition] = []
    given: list[Given] = []
    for path, one in query.filters:
        if path:
            raise not_of_changes(model, path)
        own: list[Given] = []
        shape = judged(one, column_of(model, "filter"), own)
        piece = sql_of(shape, keyset.VIEW, Numbers())
        values = tuple(own[slot].value for slot in piece.slots)
        found.append(Condition(sql.SQL(piece.text), values, _columns(shape) <= set(model.key)))
        given += own
    _refuse_moving(given)
    asked = sorted(repr(one) for one in query.filters)
    return Selection(cursors.bound_to(model.domain, model.name, asked), model, tuple(found), tuple(given))


def _refuse_moving(given: Iterable[Given]) -> None:
    """A row would leave the selection at midnight, and no event tells of it. Raises FilterInvalid. Texts may have such words."""
    for one in given:
        if is_moving(one.value) and any(type_ in one.probe for type_ in ("::date", "::timestamp")):
            raise bad_filter(
                "filter",
                f"{shown(one.value or '')} is another time tomorrow, and no event tells of it: write the time itself",
            )


def _columns(shape: Shape) -> set[str]:
    match shape:
        case Test():
            return {shape.column.name}
        case Joined():
            return {name for part in shape.parts for name in _columns(part)}
        case There():
            raise AssertionError(shape)  # nothing is embedded in changes


def _joined(conditions: Sequence[Condition]) -> tuple[sql.Composable, list[Any]]:
    if not conditions:
        return sql.SQL("true"), []
    both = sql.SQL(" AND ").join(sql.SQL("({})").format(one.sql) for one in conditions)
    return both, [value for one in conditions for value in one.values]


def _of(name: sql.Identifier, column: ServedColumn) -> sql.Composed:
    return sql.SQL("{}.{}").format(name, sql.Identifier(column.name))


def _json(columns: Sequence[ServedColumn], source: sql.Identifier) -> sql.Composed:
    """The columns as JSON, as a list shows them."""
    shown = sql.SQL(", ").join(
        sql.SQL(as_json(served_type(column.sql_type), "{}") + " AS {}").format(
            _of(source, column), sql.Identifier(column.name)
        )
        for column in columns
    )
    return sql.SQL('(SELECT row_to_json("_Json")::text FROM (SELECT {}) "_Json")').format(shown)
