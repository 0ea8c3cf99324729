"""Paging: a total order of rows, the rows after a given row, and cursors from one page to the next.

A cursor holds the values by which the page's last row is ordered, as Postgres prints them: the next page is right however rows change
in between. If these values are long, the cursor instead holds hashes of them for the last rows of the page and the first row after it. The
next page starts after the last of the page's rows that still has its hash. All rows between it and the page's end have changed, so no
unchanged row is lost or doubled. If all named rows have changed, the cursor is refused (`cursor-expired`).
"""

from collections.abc import Sequence

import msgspec

from refold.api.http.reads.planning.pieces import Numbers, Piece, joined, put

ROWS_NAMED = 8
VIEW, MARK = '"_View"', '"_Mark"'
_HEX = 24


class Term(msgspec.Struct, frozen=True):
    """An expression by which rows are ordered, and its type to cast to. Nulls come last or first as in Postgres, unless the client says otherwise."""

    expression: str
    cast: str
    nullable: bool
    descending: bool = False
    nulls_first: bool = False

    def sql(self, *, backwards: bool = False) -> str:
        """The term for ORDER BY, in the plain form if an index can serve it."""
        down, first = self.descending != backwards, self.nulls_first != backwards
        nulls = f" NULLS {'FIRST' if first else 'LAST'}" if self.nullable and first != down else ""
        return f"{self.expression}{' DESC' if down else ''}{nulls}"


def behind(terms: Sequence[Term], nulls: Sequence[bool], numbers: Numbers) -> Piece:
    """The condition for rows after one with these values, of which some are null. One row comparison if an index can serve it, else term by term."""
    marks = [numbers.value(term.cast) for term in terms]
    if len({term.descending for term in terms}) == 1 and not any(term.nullable for term in terms):
        names = ", ".join(term.expression for term in terms)
        return put("({}) {} ({})", names, "<" if terms[0].descending else ">", joined(", ", marks))
    options = []
    for last, term in enumerate(terms):
        same = [_same(other, mark) for other, mark in zip(terms[:last], marks, strict=False)]
        options.append(put("({})", joined(" AND ", [*same, _further(term, marks[last], is_null=nulls[last])])))
    found = put("({})", joined(" OR ", options))
    bound = _bound(terms[0], marks[0], is_null=nulls[0])
    return found if bound is None else put("({} AND {})", bound, found)


def _bound(term: Term, mark: Piece, *, is_null: bool) -> Piece | None:
    """What holds of the first value of all further rows, if an index can find it: it then starts there, not at the first row.

    None if further rows may be on both sides of the mark, as null is in an index in which nulls come last.
    """
    if not term.nullable or (term.nulls_first and not is_null):
        return put("{} {} {}", term.expression, "<=" if term.descending else ">=", mark)
    return Piece(f"{term.expression} IS NULL") if is_null and not term.nulls_first else None


def behind_mark(terms: Sequence[Term]) -> Piece:
    """The condition for rows after the one row of `_Mark`, and that row itself if it was not shown yet."""
    marks = [Piece(f'{MARK}."_M{place}"') for place in range(len(terms))]
    same = [_same(term, mark) for term, mark in zip(terms, marks, strict=True)]
    options = [put('({}."_Unseen" AND {})', MARK, joined(" AND ", same))]
    for last, term in enumerate(terms):
        further = _further(term, marks[last], is_null=None)
        options.append(put("({})", joined(" AND ", [*same[:last], further])))
    return put("({})", joined(" OR ", options))


def mark(terms: Sequence[Term], source: Piece, numbers: Numbers) -> Piece:
    """The row from which the page goes on, found by its hash: the last that was shown, or else the first that was not.

    Its values are the last hash, and then all hashes.
    """
    held = ", ".join(f'{term.expression} AS "_M{place}"' for place, term in enumerate(terms))
    hashed = row_hash([term.expression for term in terms])
    renamed = [msgspec.structs.replace(term, expression=f'"_M{place}"') for place, term in enumerate(terms)]
    order = ", ".join(term.sql(backwards=True) for term in renamed)
    return put(
        '{} AS (SELECT * FROM (SELECT {}, {} = {} AS "_Unseen", {} AS "_Hash" {}) "_Marked"'
        ' WHERE "_Hash" = ANY({}) ORDER BY "_Unseen", {} LIMIT 1)',
        MARK, held, hashed, numbers.value("text"), hashed, source, numbers.value("text[]"), order,
    )  # fmt: skip


def row_hash(values: Sequence[str]) -> str:
    """96 bits of a hash of the values by which a row is ordered."""
    return f"left(encode(sha256(convert_to(ROW({', '.join(values)})::text, 'UTF8')), 'hex'), {_HEX})"


def _same(term: Term, mark: Piece) -> Piece:
    return put("{} IS NOT DISTINCT FROM {}", term.expression, mark)


def _further(term: Term, mark: Piece, *, is_null: bool | None) -> Piece:
    """The condition for rows whose value comes after the mark's; `is_null` None: only Postgres knows."""
    beyond = put("{} {} {}", term.expression, "<" if term.descending else ">", mark)
    there, missing = f"{term.expression} IS NOT NULL", f"{term.expression} IS NULL"
    if is_null:
        return Piece(there if term.nulls_first else "false")
    if is_null is None:
        if term.nulls_first:
            return put("({} OR ({} IS NULL AND {}))", beyond, mark, there)
        return put("({} OR ({} IS NOT NULL AND {}))", beyond, mark, missing)
    return beyond if term.nulls_first else put("({} OR {})", beyond, missing)
