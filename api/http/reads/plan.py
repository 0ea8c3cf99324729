"""Plan: checks a query against a read model's declaration and makes one statement. The client's text is bound, never SQL.

Our own names in a statement contain upper case letters, which authors' names cannot.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from refold.api.errors import Fault, FilterInvalid, OrderInvalid, RowKeyInvalid, UnknownParameter
from refold.api.http.reads import keyset
from refold.api.http.reads.column_values import Value, bound, read_value, shown_as
from refold.api.http.reads.keyset import MARK, MOST_VALUES, ROWS_NAMED, VIEW, Cursor, Term
from refold.api.http.reads.page_bytes import PAGE_BYTES, row_bytes
from refold.api.http.reads.request import Filter, Order, Query
from refold.api.http.wire.parameters import shown
from refold.projections.tables.serving import ServedColumn, ServedModel

Parameter = Value | list[str]


@dataclass(frozen=True)
class Given:
    """A client's value, kept so that an error can name the one that Postgres refuses."""

    column: ServedColumn
    value: Value
    in_cursor: bool = False


@dataclass(frozen=True)
class QueryPlan:
    """Rows to fetch: conditions with their values, a total order, and one row more than the page, which shows whether a next one exists."""

    model: ServedModel
    conditions: tuple[sql.Composable, ...]
    given: tuple[Given, ...]
    terms: tuple[Term, ...]
    limit: int
    binding: str
    cursor: Cursor | None = None
    cut: bool = False
    """Whether the page ends early at PAGE_BYTES; else all of its rows come or, where they are more, none: an ordinary page costs no more for it."""

    @property
    def values(self) -> list[Parameter]:
        """The values that the statement binds, in order."""
        filters = [one.value for one in self.given if not one.in_cursor]
        if self.cursor is not None and self.cursor.rows:
            return [self.cursor.rows[-1], *filters, list(self.cursor.rows), *filters]
        return [one.value for one in self.given]

    def tables(self) -> sql.Composed:
        """`_Page`: the page's rows, numbered, with our own names for columns. Also `_Mark` if the cursor names rows by hashes."""
        source = self._source()
        marked = self.cursor is not None and bool(self.cursor.rows)
        cut = sql.SQL("SELECT {columns} {source} ORDER BY {order} LIMIT {limit}").format(
            columns=sql.SQL(", ").join(
                sql.SQL("{}.{} AS {}").format(VIEW, sql.Identifier(column.name), _place(place))
                for place, column in enumerate(self.model.columns)
            ),
            source=source if not marked else self._behind_mark(),
            order=sql.SQL(", ").join(term.sql() for term in self.terms),
            limit=sql.Literal(self.limit + 1),
        )
        page = sql.SQL(
            '"_Page" AS MATERIALIZED (SELECT row_number() OVER () AS "_Nr", {sums}* FROM ({cut}) "_Cut"){last}'
        ).format(cut=cut, **self._sums())
        found = keyset.mark(self.terms, source) if marked else sql.SQL('"_Mark" AS (SELECT 1)')
        return sql.SQL("{}, {}").format(found, page)

    def rows(self) -> sql.Composed:
        """The rows as an array of JSON texts, as Postgres prints values; null where they are too large and the page is not cut."""
        columns = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(shown_as(column, _place(place)), sql.Identifier(column.name))
            for place, column in enumerate(self.model.columns)
        )
        return sql.SQL(
            'SELECT array_agg((SELECT row_to_json("_Row")::text FROM (SELECT {columns}) "_Row") ORDER BY "_Nr")'
            ' FROM "_Page" WHERE "_Nr" <= {last}{fits}'
        ).format(columns=columns, last=self._last(), fits=self._fits())

    def ends(self) -> sql.Composed:
        """The parts of a cursor: the last row's values if they are short, and hashes of rows at the page's end; then the number of rows found."""
        ordered = self._ordered()
        row = sql.SQL("ROW({})::text").format(sql.SQL(", ").join(ordered))
        return sql.SQL(
            '(SELECT CASE WHEN octet_length({row}) <= {most} THEN ARRAY[{texts}] END FROM "_Page" WHERE "_Nr" = {last}),'
            ' (SELECT array_agg({hash} ORDER BY "_Nr") FROM "_Page" WHERE "_Nr" > {last} - {named} AND "_Nr" <= {last} + 1),'
            ' (SELECT count(*) FROM "_Page"), (SELECT count(*) FROM "_Mark")'
        ).format(
            row=row,
            most=sql.Literal(MOST_VALUES),
            texts=sql.SQL(", ").join(sql.SQL("{}::text").format(value) for value in ordered),
            hash=keyset.row_hash(ordered),
            last=self._last(),
            named=sql.Literal(ROWS_NAMED),
        )

    @property
    def seen(self) -> int:
        """The rows of the pages before this one."""
        return self.cursor.seen if self.cursor is not None else 0

    def cursor_after(self, rows: int, values: Sequence[Value] | None, hashes: Sequence[str]) -> str:
        """The cursor to the page after this one of some rows: by the last row's values, or by hashes."""
        seen = self.seen + rows
        if values is not None:
            return keyset.written(self.binding, Cursor(values=tuple(values), seen=seen))
        before = self.cursor.rows[:-1] if self.cursor is not None else ()
        return keyset.written(self.binding, Cursor(rows=(*before, *hashes)[-ROWS_NAMED - 1 :], seen=seen))

    @property
    def _row_bytes(self) -> sql.Composable | None:
        """None where a page is small whatever its rows hold; a single row is always shown."""
        return row_bytes(self.model.columns, _place) if self.limit > 1 else None

    def _sums(self) -> dict[str, sql.Composable]:
        """Of a cut page the bytes up to each row, and `_Last`: the last row that is shown, the first however large it is."""
        size = self._row_bytes if self.cut else None
        if size is None:
            return {"sums": sql.SQL(""), "last": sql.SQL("")}
        last = sql.SQL(
            ', "_Last" AS (SELECT max("_Nr") AS "_Nr" FROM "_Page" WHERE "_Nr" <= {} AND ("_Nr" = 1 OR "_Sum" <= {}))'
        )
        return {
            "sums": sql.SQL('sum({}) OVER (ROWS UNBOUNDED PRECEDING) AS "_Sum", ').format(size),
            "last": last.format(sql.Literal(self.limit), sql.Literal(PAGE_BYTES)),
        }

    def _fits(self) -> sql.Composable:
        """Whether the whole page may be shown: none of it is read otherwise."""
        size = None if self.cut else self._row_bytes
        if size is None:
            return sql.SQL("")
        return sql.SQL(' AND (SELECT sum({}) FROM "_Page") <= {}').format(size, sql.Literal(PAGE_BYTES))

    def _last(self) -> sql.Composable:
        """The number of the page's last row, where as many are there."""
        cut = self.cut and self._row_bytes is not None
        return sql.SQL('(SELECT "_Nr" FROM "_Last")') if cut else sql.Literal(self.limit)

    def _source(self) -> sql.Composed:
        where = sql.SQL(" AND ").join(self.conditions) if self.conditions else sql.SQL("true")
        view = sql.Identifier(self.model.domain, self.model.name)
        return sql.SQL("FROM {} AS {} WHERE {}").format(view, VIEW, where)

    def _behind_mark(self) -> sql.Composed:
        view = sql.Identifier(self.model.domain, self.model.name)
        where = sql.SQL(" AND ").join([*self.conditions, keyset.behind_mark(self.terms)])
        return sql.SQL("FROM {} AS {}, {} WHERE {}").format(view, VIEW, MARK, where)

    def _ordered(self) -> list[sql.Composable]:
        places = {column.name: place for place, column in enumerate(self.model.columns)}
        return [_place(places[term.column.name]) for term in self.terms]


def plan_query(model: ServedModel, query: Query) -> QueryPlan:
    """The plan of a page. Raises UnknownParameter, FilterInvalid, OrderInvalid or CursorInvalid."""
    columns = {column.name: column for column in model.columns}
    planned = [_condition(columns, wanted) for wanted in query.filters]
    terms = _total_order(model, columns, query.order)
    asked = sorted((f.column, f.operator, f.value) for f in query.filters)
    order = [(term.column.name, term.descending, term.nulls_first) for term in terms]
    binding = keyset.bound_to(model.domain, model.name, asked, order)
    conditions = [condition for condition, _ in planned]
    given = [one for _, held in planned for one in held]
    cursor = None if query.cursor is None else keyset.read(query.cursor, binding, len(terms))
    if cursor is not None and not cursor.rows:
        condition, values = keyset.behind(terms, cursor.values)
        conditions.append(condition)
        given += [Given(column, value, in_cursor=True) for column, value in values]
    return QueryPlan(model, tuple(conditions), tuple(given), terms, query.limit, binding, cursor)


def plan_row(model: ServedModel, key: Sequence[str]) -> QueryPlan:
    """The plan of one row by its key. Raises RowKeyInvalid."""
    if len(key) != len(model.key):
        raise RowKeyInvalid(
            f"the key of {model.name} is {','.join(model.key)}: {len(model.key)} values, not {len(key)}"
        )
    filters = tuple(Filter(name, "eq", value) for name, value in zip(model.key, key, strict=True))
    try:
        return plan_query(model, Query(filters, limit=1))
    except FilterInvalid as problem:
        raise RowKeyInvalid(problem.message, *problem.faults) from None


def _place(place: int) -> sql.Identifier:
    return sql.Identifier(f"_C{place}")


def _condition(columns: dict[str, ServedColumn], wanted: Filter) -> tuple[sql.Composable, list[Given]]:
    column = columns.get(wanted.column)
    if column is None:
        message = (
            f"there is no column {shown(wanted.column)}; there are: {', '.join(columns)}, and order, limit, cursor"
        )
        raise UnknownParameter(message, Fault(wanted.column[:100], "parameter-unknown", message))
    name = Term(column).name
    if wanted.operator == "is":
        return sql.SQL("{} IS NULL" if wanted.value == "null" else "{} IS NOT NULL").format(name), []
    return sql.SQL("{} = {}").format(name, bound(column)), [Given(column, read_value(column, wanted.value))]


def _total_order(model: ServedModel, columns: dict[str, ServedColumn], order: Sequence[Order]) -> tuple[Term, ...]:
    """The order: the client's terms, then the key, then all other columns of a declared view, whose key may not be unique."""
    for term in order:
        if term.column not in columns:
            message = f"order: there is no column {shown(term.column)}; there are: {', '.join(columns)}"
            raise OrderInvalid(message, Fault("order", "order-invalid", message))
    asked = [
        Term(columns[t.column], t.descending, t.descending if t.nulls_first is None else t.nulls_first) for t in order
    ]
    further = [*model.key, *(columns if model.reads else ())]
    named = {term.column for term in order}
    return (*asked, *(Term(columns[name]) for name in dict.fromkeys(further) if name not in named))
