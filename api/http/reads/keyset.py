"""Where a page ends and the next begins: a total order, the rows behind a row of it, and cursors.

A cursor is what a row was ordered by, as Postgres prints it: the next page is right however rows change in between. Values that
would make it long are not in it: it then names the last rows of the page by hashes of what they are ordered by, and the first
row behind it. A row that is unchanged is found again by its hash, and of the rows between it and the end of the page none is
unchanged; so no unchanged row is lost or doubled. Only when all of them have changed the cursor is refused (`cursor-expired`).
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from psycopg import sql

from refold.api.errors import CursorInvalid, Fault
from refold.api.http.reads.column_values import Value, bound
from refold.projections.tables.serving import ServedColumn

MOST_VALUES = 512
"""Bytes of a row's values in a cursor; hashes are about as long."""
ROWS_NAMED = 8
_HEX = 24
VIEW, MARK = sql.Identifier("_View"), sql.Identifier("_Mark")


@dataclass(frozen=True)
class Term:
    """A column that rows are ordered by. Null comes last or first as in Postgres, unless the client says otherwise."""

    column: ServedColumn
    descending: bool = False
    nulls_first: bool = False

    @property
    def name(self) -> sql.Composable:
        return sql.SQL("{}.{}").format(VIEW, sql.Identifier(self.column.name))

    def sql(self, *, backwards: bool = False) -> sql.Composable:
        """As a term of ORDER BY; the plain form where an index can serve it."""
        down, first = self.descending != backwards, self.nulls_first != backwards
        order = sql.SQL(" DESC" if down else "")
        nulls = sql.SQL(f" NULLS {'FIRST' if first else 'LAST'}" if self.column.nullable and first != down else "")
        return sql.SQL("{}{}{}").format(self.name, order, nulls)


@dataclass(frozen=True)
class Cursor:
    """Where to go on: behind a row with these values, or behind the last of some rows named by hashes.

    The last hash is of the first row that was not shown.
    """

    values: tuple[Value, ...] = ()
    rows: tuple[str, ...] = ()


def behind(terms: Sequence[Term], values: Sequence[Value]) -> tuple[sql.Composable, list[tuple[ServedColumn, Value]]]:
    """Rows behind one with these values, and what is bound in order. One row comparison where an index can serve it, else term by term."""
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
    """Rows behind the one row of `_Mark`, and that row itself where it was not shown yet."""
    marks = [sql.SQL("{}.{}").format(MARK, sql.Identifier(f"_M{place}")) for place in range(len(terms))]
    same = [_same(term, mark) for term, mark in zip(terms, marks, strict=True)]
    options = [sql.SQL("{}.{} AND {}").format(MARK, sql.Identifier("_Unseen"), sql.SQL(" AND ").join(same))]
    for last, term in enumerate(terms):
        further, _ = _further(term, marks[last], is_null=None)
        options.append(sql.SQL(" AND ").join([*same[:last], further]))
    return sql.SQL("({})").format(sql.SQL(" OR ").join(sql.SQL("({})").format(option) for option in options))


def mark(terms: Sequence[Term], source: sql.Composable) -> sql.Composable:
    """The row to go on from, found by its hash: the last of those that were shown, else the first that was not.

    Takes all hashes, and then the last of them.
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
    """96 bits of what a row is ordered by."""
    return sql.SQL("left(encode(sha256(convert_to(ROW({})::text, 'UTF8')), 'hex'), {})").format(
        sql.SQL(", ").join(values), sql.Literal(_HEX)
    )


def written(binding: str, cursor: Cursor) -> str:
    """The cursor as a client gets it, bound to its query."""
    body = json.dumps([binding, cursor.values, cursor.rows], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def read(text: str, binding: str, terms: int) -> Cursor:
    """The cursor of a client. Raises CursorInvalid where it is not one of this query."""
    try:
        body = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        bound_to, values, rows = msgspec.json.decode(body, type=tuple[str, tuple[Value, ...], tuple[str, ...]])
    except (ValueError, msgspec.MsgspecError):
        raise not_ours() from None
    sound = (len(values) == terms and not rows) or (not values and 0 < len(rows) <= ROWS_NAMED + 1)
    if bound_to != binding or not sound or any("\0" in value for value in (*values, *rows) if value is not None):
        raise not_ours()
    return Cursor(values, rows)


def not_ours() -> CursorInvalid:
    """The error of a cursor that no page of this query gave."""
    message = "the cursor is not one of this query: same read model, same filters, same order"
    return CursorInvalid(message, Fault("cursor", "cursor-invalid", message))


def bound_to(*asked: object) -> str:
    """What a cursor belongs to; a cursor of another query would silently skip rows."""
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def _same(term: Term, mark: sql.Composable) -> sql.Composable:
    return sql.SQL("{} IS NOT DISTINCT FROM {}").format(term.name, mark)


def _further(term: Term, mark: sql.Composable, *, is_null: bool | None) -> tuple[sql.Composable, int]:
    """Rows whose value lies behind the mark's, and how often the mark is in it; `is_null` None: only Postgres knows."""
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
