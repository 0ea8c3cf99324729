"""Answer: a page as its media type, with the headers that say what it is of."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from litestar import Request

from refold.api.errors import ApiError
from refold.api.http.reads.asking import VARY, Asked
from refold.api.http.reads.language.ranges import content_range
from refold.api.http.reads.pages import Page
from refold.api.http.wire.accepting import CSV
from refold.api.http.wire.answer import Answer
from refold.api.reading_errors import NotOneRow, RangeUnsatisfiable

MOST_LINK = 8000
"""Most bytes of a `Link`: clients refuse an answer with longer headers. `Refold-Cursor` is always there."""
AnyRequest = Request[Any, Any, Any]
_BEHIND = re.compile(r"(?:^|&)(?:cursor|offset)=[^&]*")


def answer(request: AnyRequest, asked: Asked, page: Page, total: int | None) -> Answer:
    """The answer to a list. Raises NotOneRow, RangeUnsatisfiable."""
    headers = page.headers() | {"Vary": VARY}
    headers["Content-Range"], status = _range(asked, page, total)
    applied = asked.preferences.applied()
    if applied:
        headers["Preference-Applied"] = applied
    query = request.scope["query_string"].decode("latin-1")
    if query and len(query) <= MOST_LINK:
        headers["Content-Location"] = f"{request.scope['path']}?{_sorted(query)}"
    if status == 416:
        message = f"an offset of {asked.plan.seen} was asked for, but there are only {total} rows"
        raise _with(RangeUnsatisfiable(message), headers)
    if asked.single and page.found != 1 and page.rows != 1:
        count = "no rows" if not page.rows else "more than one row"
        raise _with(NotOneRow(f"one row is asked for, and the query has {count}"), headers)
    if page.ends is not None and not asked.single:
        headers["Refold-Cursor"] = cursor = asked.plan.cursor_after(page.rows, *page.ends)
        following = next_path(request.scope["path"], query, cursor, asked.plan.shape.limit)
        if len(following) <= MOST_LINK:
            headers["Link"] = f'<{following}>; rel="next"'
    body = b"" if asked.head else _body(asked, page)
    return Answer(body, status_code=status, media_type=asked.media.content_type, headers=headers, head=asked.head)


def _range(asked: Asked, page: Page, total: int | None) -> tuple[str, int]:
    """A page behind a cursor is never out of range: rows before it may be gone since."""
    text, status = content_range(asked.plan.seen, page.rows, total)
    return text, 206 if status == 416 and asked.plan.cursor is not None else status


def _body(asked: Asked, page: Page) -> bytes:
    if asked.single:
        return page.text.encode()
    if asked.media.type == CSV:
        # Postgres doubles backslashes in a record, which no reader of CSV takes back.
        lines = page.text.replace("\\\\", "\\")
        head = _head([item.name for item in asked.plan.shape.shown])
        return (f"{head}{lines}\n" if page.rows else head).encode()
    return f"[{page.text}]".encode()


def _head(names: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(names)
    return line.getvalue()


def _with(error: ApiError, headers: dict[str, str]) -> ApiError:
    error.headers = headers
    return error


def _sorted(query: str) -> str:
    """The parameters in the order of their names."""
    return "&".join(sorted(filter(None, query.split("&")), key=lambda part: part.partition("=")[0]))


def next_path(path: str, query: str, cursor: str, limit: int) -> str:
    """The same query behind the cursor; the page's size is written if the `Range` header gave it."""
    kept = _BEHIND.sub("", query).lstrip("&")
    size = [] if re.search(r"(?:^|&)limit=", kept) else [f"limit={limit}"]
    return f"{path}?{'&'.join([*filter(None, [kept]), *size, f'cursor={cursor}'])}"
