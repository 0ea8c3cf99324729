"""What came of a command: everything that an id led to, as a tree and as a list."""

import hashlib
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import msgspec
from litestar import Request, Router, get
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from refold.api.http.doors.principal import is_hidden
from refold.api.http.reads import page_cursor
from refold.api.http.reads.request import read_numbers, read_texts
from refold.api.http.reads.services import WhyServices
from refold.api.http.reads.traced import traced
from refold.api.http.wire.answer import JSON, Answer
from refold.api.http.wire.parameters import bad_filter, shown
from refold.api.http.wire.paths import raw_behind
from refold.api.past_errors import TraceUnknown
from refold.api.tracing.following import MOST_COMMANDS
from refold.api.tracing.tracer import AskedTrace

MOST_LIMIT, MOST_ID = 1000, 1000
SEARCH_S = 3.0
"""Seconds that one request searches and follows; the next one searches on from there."""
AnyRequest = Request[Any, Any, Any]
Services = NamedDependency[SkipValidation[WhyServices]]


@get("/v1/trace/{id:path}", parameters=("limit", "cursor"))
async def read_trace(request: AnyRequest, why: Services) -> Answer:
    """What came of a command id, an Idempotency-Key, or a correlation id: all that is behind `trace/`, slashes included."""
    raw = raw_behind(request, "v1", "trace") or b""
    try:
        return await _answer(request, why, unquote_to_bytes(raw).decode())
    except UnicodeDecodeError:
        raise bad_filter("id", "the id is not UTF-8") from None


@get("/v1/trace", parameters=("id", "limit", "cursor"))
async def trace_by_parameter(request: AnyRequest, why: Services) -> Answer:
    """The same for each id, also one that no path can hold: clients tidy `.` and `..` away."""
    return await _answer(request, why, read_texts(request.scope["query_string"], "id").get("id", ""))


async def _answer(request: AnyRequest, why: WhyServices, asked: str) -> Answer:
    if not 0 < len(asked) <= MOST_ID or "\0" in asked:
        raise bad_filter("id", f"an id has 1-{MOST_ID} characters")
    raw, prefix = request.scope["query_string"], why.topic_prefix
    limit = read_numbers(raw, limit=(MOST_COMMANDS, 1, MOST_LIMIT))["limit"]
    cursor, binding = read_texts(raw, "cursor").get("cursor") or None, hashlib.sha256(asked.encode()).hexdigest()[:16]
    ends = None if cursor is None else page_cursor.read(cursor, binding, prefix)[1]
    found = await why.trace(AskedTrace(asked, limit, ends, SEARCH_S))
    found.roots = [root for root in found.roots if not is_hidden(root.category.partition(".")[0])]
    if not found.roots and found.complete and cursor is None:
        raise TraceUnknown(f"no command and no correlation has the id {shown(asked)}")
    following = None
    if found.left:
        written = page_cursor.written(0, found.left, binding, prefix)
        following = f"/v1/trace?id={quote(asked, safe='')}&limit={limit}&cursor={written}"
    headers = {"Link": f'<{following}>; rel="next"'} if following is not None else {}
    return Answer(msgspec.json.encode(traced(found, following)), media_type=JSON, headers=headers)


ROUTES = Router("/", route_handlers=[read_trace, trace_by_parameter])
