"""Which rows a page has: `limit` and `offset`, met with the `Range` header; and what `Content-Range` says of them."""

import re
from typing import NamedTuple

from refold.api.http.reads.language.query_string import MAX_OFFSET
from refold.api.http.reads.language.scanner import misread
from refold.api.http.reads.language.tree import Query
from refold.api.reading_errors import QueryTooLarge, RangeUnsatisfiable

_RANGE = re.compile(r"([0-9]+)-([0-9]*)", re.ASCII)


class Rows(NamedTuple):
    """The rows from `offset`, counted from 0; at most `limit` of them, or all."""

    offset: int
    limit: int | None


def read_rows(query: Query, header: str | None, *, get: bool = True) -> Rows:
    """The rows that a query and the `Range` header of a GET both ask for; other methods ignore the header, as HTTP wants it.

    Raises RangeUnsatisfiable if there can be none; `limit=0` asks for none.
    """
    if query.limit is not None and query.limit < 0:
        raise RangeUnsatisfiable(f"limit is {query.limit}, and cannot be negative")
    found = _RANGE.fullmatch(header.strip()) if header is not None and get else None
    if found is None or query.limit == 0 or query.cursor is not None:
        return Rows(query.offset, query.limit)
    first, last = _number(found.group(1)), _number(found.group(2)) if found.group(2) else None
    if first > MAX_OFFSET:
        raise misread(
            QueryTooLarge, "Range", f"it begins at {MAX_OFFSET} at most; page with the `Link` of each answer instead"
        )
    if last is not None and last < first:
        raise RangeUnsatisfiable(f"Range: {first} lies behind {last}")
    offset = max(first, query.offset)
    ends = [end for end in (last, None if query.limit is None else query.offset + query.limit - 1) if end is not None]
    if ends and min(ends) < offset:
        raise RangeUnsatisfiable("limit and offset have no row in common with Range")
    return Rows(offset, min(ends) - offset + 1 if ends else None)


def _number(digits: str) -> int:
    """The number, or one that is larger than any count of rows: Python takes no integer of some thousand digits."""
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= 18 else 10**18


def content_range(first: int, rows: int, total: int | None) -> tuple[str, int]:
    """`Content-Range` of a page, and its status: 206 if it is not all that was counted, 416 if it begins behind the end."""
    of = "*" if total is None else str(total)
    text = f"{first}-{first + rows - 1}/{of}" if rows and total != 0 else f"*/{of}"
    if total is None:
        return text, 200
    return text, 416 if first > total else 206 if rows < total else 200
