"""Cursors as clients get them: a row's values or hashes, bound to the query that they belong to."""

import hashlib
import json
from typing import Annotated, NamedTuple

import msgspec

from refold.api.errors import CursorInvalid, Fault
from refold.api.http.reads.opaque import opaque, revealed
from refold.api.http.reads.planning.column_values import Value
from refold.api.http.reads.planning.keyset import ROWS_NAMED

MOST_VALUES = 512
"""Most bytes of a row's values in a cursor; hashes are about as long."""
_Written = tuple[str, tuple[Value, ...], tuple[str, ...], Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]]


class Cursor(NamedTuple):
    """The end of a page: the values of its last row, or hashes of some rows.

    The last hash belongs to the first row that was not shown. `seen`: rows of the pages before, from which `Content-Range` counts.
    """

    values: tuple[Value, ...] = ()
    rows: tuple[str, ...] = ()
    seen: int = 0


def written(binding: str, cursor: Cursor) -> str:
    """The cursor as a client gets it, bound to its query."""
    body = json.dumps([binding, cursor.values, cursor.rows, cursor.seen], separators=(",", ":"), ensure_ascii=False)
    return opaque(body.encode())


def read(text: str, binding: str, terms: int) -> Cursor:
    """The cursor of a client. Raises CursorInvalid if it does not belong to this query."""
    try:
        bound_to, values, rows, seen = msgspec.json.decode(revealed(text), type=_Written)
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
    return hashlib.sha256(repr(asked).encode()).hexdigest()[:16]
