"""A stream over HTTP: its state and version from Postgres, its events from the log by the offsets the core noted."""

from typing import Any

import msgspec
from litestar import Request, Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation

from refold.api.errors import StreamAbsent
from refold.api.http.command_answer import JSON, stream_path
from refold.api.http.command_request import checked_stream, find_category
from refold.api.http.database import Row
from refold.api.http.positions import token
from refold.api.http.query_request import read_numbers
from refold.api.http.services import StreamServices
from refold.schemas.contracts import Category
from refold.streams.history import Recorded

MAX_EVENTS = 1000
Services = NamedDependency[SkipValidation[StreamServices]]

# One statement, so that version, state and offsets are of one snapshot.
_STREAM = """
SELECT s.version, s.state, w.part, p.next_offset, o.first_version, o.offsets
  FROM refold.streams s
  LEFT JOIN LATERAL (
       SELECT part FROM refold.stream_offsets WHERE category = s.category AND stream = s.stream LIMIT 1) w ON true
  LEFT JOIN refold.positions p ON p.grp = 'core' AND p.topic = %(topic)s AND p.part = w.part
  LEFT JOIN refold.stream_offsets o
    ON o.category = s.category AND o.stream = s.stream
   AND o.first_version <= %(last)s AND o.first_version + cardinality(o.offsets) > %(first)s
 WHERE s.category = %(category)s AND s.stream = %(stream)s
 ORDER BY o.first_version
"""


@get("/v1/streams/{domain:str}/{category:str}/{stream:str}")
async def read_stream(
    request: Request[Any, Any, Any],
    streams: Services,
    domain: FromPath[str],
    category: FromPath[str],
    stream: FromPath[str],
) -> Response[bytes]:
    """State, version and a page of events."""
    found = find_category(streams.domains, domain, category)
    page = read_numbers(request.scope["query_string"], after_version=(0, 0, 2**62), limit=(100, 0, MAX_EVENTS))
    first, last = page["after_version"] + 1, page["after_version"] + page["limit"]
    where = {"category": found.name, "stream": checked_stream(stream), "first": first, "last": last}
    topic = f"{streams.topic_prefix}{found.name}.events"
    rows = await streams.fetch(_STREAM, {**where, "topic": topic})
    if not rows:
        raise StreamAbsent(f"{found.name} {stream} has no events")
    places = _places(rows, first, last)
    events = await streams.read(found.name, places) if places else []
    return _answer(found, stream, rows, [_event(event) for event in events], last)


def _places(rows: list[Row], first: int, last: int) -> list[tuple[int, int]]:
    """(partition, offset) of the events with versions first … last."""
    return [
        (part, offset)
        for _, _, part, _, start, offsets in rows
        if offsets is not None
        for version, offset in enumerate(offsets, start)
        if first <= version <= last
    ]


def _answer(
    category: Category, stream: str, rows: list[Row], events: list[dict[str, Any]], last: int
) -> Response[bytes]:
    version, state, part, position, _, _ = rows[0]
    body: dict[str, Any] = {
        "category": category.name,
        "stream": stream,
        "version": version,
        "state": msgspec.Raw(bytes(state)) if state is not None else None,
        "events": events,
        "next": None,
    }
    headers = {"ETag": f'"{version}"'}
    if part is not None and position is not None:
        headers["Refold-Position"] = body["position"] = token({(f"{category.name}.events", part): position})
    if last < version and events:
        body["next"] = f"{stream_path(category.name, stream)}?after_version={last}&limit={len(events)}"
        headers["Link"] = f'<{body["next"]}>; rel="next"'
    return Response(msgspec.json.encode(body), media_type=JSON, headers=headers)


def _event(recorded: Recorded) -> dict[str, Any]:
    meta = recorded.meta
    return {
        "version": meta.version,
        "type": type(recorded.event).__name__,
        "id": meta.event_id,
        "occurred_at": meta.occurred_at,
        "recorded_at": meta.recorded_at,
        "command_id": meta.command_id,
        "actor": meta.actor,
        "correlation_id": meta.correlation_id,
        "partition": recorded.part,
        "offset": recorded.offset,
        "data": recorded.event,
    }


ROUTES = Router("/", route_handlers=[read_stream])
