"""Paging: a total order of rows, the rows after a given row, and cursors from one page to the next.

A cursor holds the values by which the page's last row is ordered, as Postgres prints them: the next page is right however rows change
in between. If these values are long, the cursor instead holds hashes of them for the last rows of the page and the first row after it. The
next page starts after the last of the page's rows that still has its hash. All rows between it and the page's end have changed, so no
unchanged row is lost or doubled. If all named rows have changed, the cursor is refused (`cursor-expired`).
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from psycopg import sql

from refold.api.errors import CursorInvalid, Fault
from refold.api.http.reads.column_values import Value, bound
from refold.projections.tables.serving import ServedColumn

MOST_VALUES = 512
"""Most bytes of a row's values in a cursor; hashes are about as long."""
ROWS_NAMED = 8
_HEX = 24
_Written = tuple[str, tuple[Value, ...], tuple[str, ...], Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]]
VIEW, MARK = sql.Identifier("_View"), sql.Identifier("_Mark")


@dataclass(frozen=True)
class Term:
    """A column by which rows are ordered. Nulls come last or first as in Postgres, unless the client says otherwise."""

    column: ServedColumn
    descending: bool = False
    nulls_first: bool = False

    @property
    def name(self) -> sql.Composable:
        return sql.SQL("{}.{}").format(VIEW, sql.Identifier(self.column.name))

    def sql(self, *, backwards: bool = False) -> sql.Composable:
        """The term for ORDER BY, in the plain form if an index can serve it."""
        down, first = self.descending != backwards, self.nulls_first != backwards
        order = sql.SQL(" DESC" if down else "")
        nulls = sql.SQL(f" NULLS {'FIRST' if first else 'LAST'}" if self.column.nullable and first != down else "")
        return sql.SQL("{}{}{}").format(self.name, order, nulls)


@dataclass(frozen=True)
class Cursor:
    """The end of a page: the values of its last row, or hashes of some rows.

    The last hash belongs to the first row that was not shown.
    """

    values: tuple[Value, ...] = ()
    rows: tuple[str, ...] = ()
    seen: int = 0
    """Rows of the pages before: what `Content-Range` counts from."""


def behind(terms: Sequence[Term], values: Sequence[Value]) -> tuple[sql.Composable, list[tuple[ServedColumn, Value]]]:
    """The condition for rows after one with these values, and its bound values in order. One row comparison if an index can serve it, else term by term."""
    held = [(term.column, value) for term, value in zip(terms, values, strict=True)]
    if len({term.descending for term in terms}) == 1 and not any(term.column.nullable for term in terms):
        names = sql.SQL(", ").join(term.name for term in terms)
        places = sql.SQL(", ").join(bound(term.column) for term in terms)
        sign = sql.SQL("<" if terms[0].descending else ">")
        return sql.SQL("({}) {} ({})").format(names, sign, places), held
    options, given = [], list[tuple[ServedColumn, Value]]()
    for last, term in enumerate(terms):
        further, used = _further(term, bound(term.column), is_null=values[last] is None)
        same = [_same(other, bound(other.column)) for other in terms[:last]]
        options.append(sql.SQL("({})").format(sql.SQL(" AND ").join([*same, further])))
        given += [*held[:last], *[held[last]] * used]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(options)), given


def behind_mark(terms: Sequence[Term]) -> sql.Composable:
    """The condition for rows after the one row of `_Mark`, and that row itself if it was not shown yet."""
    marks = [sql.SQL("{}.{}").format(MARK, sql.Identifier(f"_M{place}")) for place in range(len(terms))]
    same = [_same(term, mark) for term, mark in zip(terms, marks, strict=True)]
    options = [sql.SQL("{}.{} AND {}").format(MARK, sql.Identifier("_Unseen"), sql.SQL(" AND ").join(same))]
    for last, term in enumerate(terms):
        further, _ = _further(term, marks[last], is_null=None)
        options.append(sql.SQL(" AND ").join([*same[:last], further]))
    return sql.SQL("({})").format(sql.SQL(" OR ").join(sql.SQL("({})").format(option) for option in options))


def mark(terms: Sequence[Term], source: sql.Composable) -> sql.Composable:
    """The row from which the page goes on, found by its hash: the last that was shown, or else the first that was not.

    Its placeholders take the last hash, and then all hashes.
    """
    shown = [sql.SQL("{} AS {}").format(term.name, sql.Identifier(f"_M{place}")) for place, term in enumerate(terms)]
    hashed = row_hash([term.name for term in terms])
    return sql.SQL(
        "{mark} AS (SELECT * FROM (SELECT {shown}, {hashed} = %s AS {unseen}, {hashed} AS {hash} {source}) {view}"
        " WHERE {hash} = ANY(%s::text[]) ORDER BY {unseen}, {order} LIMIT 1)"
    ).format(
        mark=MARK,
        shown=sql.SQL(", ").join(shown),
        hashed=hashed,
        unseen=sql.Identifier("_Unseen"),
        hash=sql.Identifier("_Hash"),
        source=source,
        view=VIEW,
        order=sql.SQL(", ").join(_renamed(term, place).sql(backwards=True) for place, term in enumerate(terms)),
    )


def row_hash(values: Sequence[sql.Composable]) -> sql.Composable:
    """96 bits of a hash of the values by which a row is ordered."""
    return sql.SQL("left(encode(sha256(convert_to(ROW({})::text, 'UTF8')), 'hex'), {})").format(
        sql.SQL(", ").join(values), sql.Literal(_HEX)
    )


def written(binding: str, cursor: Cursor) -> str:
    """The cursor as a client gets it, bound to its query."""
    body = json.dumps([binding, cursor.values, cursor.rows, cursor.seen], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def read(text: str, binding: str, terms: int) -> Cursor:
    """The cursor of a client. Raises CursorInvalid if it does not belong to this query."""
    try:
        body = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        bound_to, values, rows, seen = msgspec.json.decode(body, type=_Written)
    except (ValueError, msgspec.MsgspecError):
        raise not_ours() from None
    sound = (len(values) == terms and not rows) or (not values and 0 < len(rows) <= ROWS_NAMED + 1)
    if bound_to != binding or not sound or any("\0" in value for value in (*values, *rows) if value is not None):
        raise not_ours()
    return Cursor(values, rows, seen)


def not_ours() -> CursorInvalid:
    """The error for a cursor that no page of this query gave."""
    message = "the cursor is not one of this query: same read model, same filters, same order"
    return CursorInvalid(message, Fault("cursor", "cursor-invalid", message))


def bound_to(*asked: object) -> str:
    """The query to which a cursor belongs, as text; a cursor of another query would silently skip rows."""
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def _same(term: Term, mark: sql.Composable) -> sql.Composable:
    return sql.SQL("{} IS NOT DISTINCT FROM {}").format(term.name, mark)


def _further(term: Term, mark: sql.Composable, *, is_null: bool | None) -> tuple[sql.Composable, int]:
    """The condition for rows whose value comes after the mark's, and how often it contains the mark; `is_null` None: only Postgres knows."""
    beyond = sql.SQL("{} {} {}").format(term.name, sql.SQL("<" if term.descending else ">"), mark)
    there, missing = sql.SQL("{} IS NOT NULL").format(term.name), sql.SQL("{} IS NULL").format(term.name)
    if is_null:
        return (there if term.nulls_first else sql.SQL("false")), 0
    if is_null is None:
        if term.nulls_first:
            return sql.SQL("({} OR ({} IS NULL AND {}))").format(beyond, mark, there), 2
        return sql.SQL("({} OR ({} IS NOT NULL AND {}))").format(beyond, mark, missing), 2
    return (beyond if term.nulls_first else sql.SQL("({} OR {})").format(beyond, missing)), 1


def _renamed(term: Term, place: int) -> Term:
    return Term(
        ServedColumn(f"_M{place}", term.column.sql_type, term.column.nullable, ""), term.descending, term.nulls_first
    )
