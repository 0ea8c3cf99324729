"""A stream over HTTP: its state and version from Postgres, its events from the log by the offsets that the core noted.

Events are shown as today's code reads them: an upcaster turns a stored event of a retired type into events of today. A page is a
range of versions, so it may show more events than it has versions. `stream_past` answers for an earlier version or time.
"""

from typing import Any

import msgspec
from litestar import Request, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation

from refold.api.errors import RouteUnknown, StreamAbsent
from refold.api.http.commands.answer import stream_path
from refold.api.http.commands.request import checked_stream, find_category
from refold.api.http.commands.routes import Services as Commands
from refold.api.http.commands.routes import outcome_of
from refold.api.http.reads import stream_past
from refold.api.http.reads.positions import token
from refold.api.http.reads.request import read_numbers, read_texts
from refold.api.http.reads.services import StreamServices
from refold.api.http.reads.stream_rows import (
    event_json,
    folded_state,
    places_of,
    read_events,
    refuse_set_aside,
    stream_rows,
    topic_of,
)
from refold.api.http.wire.answer import JSON, Answer
from refold.api.http.wire.database import Row
from refold.api.http.wire.parameters import refuse_unknown
from refold.api.http.wire.paths import raw_behind
from refold.schemas.contracts import Category
from refold.streams.rules.effects import BROKEN

MAX_EVENTS = 1000
MOST_REFOLDED = 10_000
"""Most events of a stream that the API folds itself if other code folded its state. A longer one shows no state until its next event lets the core fold it again."""
Services = NamedDependency[SkipValidation[StreamServices]]
_PAGING = ("after_version", "limit", *stream_past.PARAMETERS)
_ABSENT = """
SELECT p.part, p.next_offset, EXISTS (SELECT FROM refold.streams s WHERE s.category = %(category)s AND s.stream = %(stream)s)
  FROM refold.positions p WHERE p.grp = 'core' AND p.topic = %(topic)s
"""


@get("/v1/streams/{domain:str}/{category:str}/{stream:str}", parameters=_PAGING)
async def read_stream(
    request: Request[Any, Any, Any],
    streams: Services,
    domain: FromPath[str],
    category: FromPath[str],
    stream: FromPath[str],
) -> Answer:
    """State, version and a page of events, of today or of an earlier version or time."""
    if raw_behind(request, "v1", "streams", domain, category, stream) is not None:
        raise RouteUnknown("there is nothing at this path")
    found = find_category(streams.domains, domain, category)
    return await _read(streams, found, checked_stream(stream), request.scope["query_string"])


@get("/v1/streams/{domain:str}/{category:str}", parameters=("stream", "command", *_PAGING))
async def read_by_parameter(
    request: Request[Any, Any, Any],
    streams: Services,
    commands: Commands,
    domain: FromPath[str],
    category: FromPath[str],
) -> Answer:
    """The same, or the outcome of a command of it, for ids and keys that no path can hold: clients tidy `.` and `..` away."""
    if raw_behind(request, "v1", "streams", domain, category) is not None:
        raise RouteUnknown("there is nothing at this path")
    found, raw = find_category(streams.domains, domain, category), request.scope["query_string"]
    asked = read_texts(raw, "stream", "command")
    stream = checked_stream(asked.get("stream", ""))
    if "command" not in asked:
        return await _read(streams, found, stream, raw)
    refuse_unknown(raw, ("stream", "command"))
    return await outcome_of(commands, found, stream, asked["command"])


async def _read(streams: StreamServices, found: Category, stream: str, raw: bytes) -> Answer:
    page, past = (
        read_numbers(raw, after_version=(0, 0, stream_past.MOST_VERSION), limit=(100, 0, MAX_EVENTS)),
        stream_past.read_past(raw),
    )
    if past is not None:
        asked = stream_past.PastPage(page["after_version"], page["limit"])
        answer = await stream_past.past_answer(streams, found, stream, past, asked)
        return answer or await _absent(streams, found, stream, raw)
    first, last = page["after_version"] + 1, page["after_version"] + page["limit"]
    rows = await stream_rows(streams, found, stream, first, last)
    if not rows:
        return await _absent(streams, found, stream, raw)
    refuse_set_aside(streams, found, rows)
    events = await read_events(streams, found, stream, places_of(rows, first, last))
    state = msgspec.Raw(folded) if (folded := await _state(streams, found, stream, rows)) is not None else None
    reached = events[-1].meta.version if events else 0  # fewer than requested if their bytes fill a page
    more = 0 < reached < rows[0][0]
    following = stream_path(found.name, stream, after_version=reached, limit=page["limit"]) if more else None
    return _answer(found, stream, rows, {"state": state, "events": [event_json(e) for e in events], "next": following})


async def _absent(streams: StreamServices, found: Category, stream: str, raw: bytes) -> Answer:
    """The core's position, although it has not seen the stream. Raises StreamAbsent; a stream that has arrived meanwhile is answered."""
    rows = await streams.fetch(_ABSENT, {"category": found.name, "stream": stream, "topic": topic_of(streams, found)})
    if any(is_there for _, _, is_there in rows):
        return await _read(streams, found, stream, raw)
    absent = StreamAbsent(f"{found.name} {stream} has no events")
    if rows:
        absent.headers = {"Refold-Position": token({(f"{found.name}.events", part): at for part, at, _ in rows})}
    raise absent


async def _state(streams: StreamServices, category: Category, stream: str, rows: list[Row]) -> bytes | None:
    """The stored state, or one folded from the log if other code has folded the stored one. None: it cannot be folded."""
    version, state, fingerprint = rows[0][:3]
    decider = streams.domains.deciders[category.name]
    if fingerprint in (decider.fingerprint, BROKEN) or not 0 < version <= MOST_REFOLDED:
        return bytes(state) if state is not None and fingerprint == decider.fingerprint else None
    return await folded_state(streams, category, stream, version)


def _answer(category: Category, stream: str, rows: list[Row], found: dict[str, Any]) -> Answer:
    version, _, _, part, position, *_ = rows[0]
    body: dict[str, Any] = {"category": category.name, "stream": stream, "version": version, **found}
    headers = {"ETag": f'"{version}"'}
    if part is not None and position is not None:
        headers["Refold-Position"] = body["position"] = token({(f"{category.name}.events", part): position})
    if found["next"] is not None:
        headers["Link"] = f'<{found["next"]}>; rel="next"'
    return Answer(msgspec.json.encode(body), media_type=JSON, headers=headers)


ROUTES = Router("/", route_handlers=[read_stream, read_by_parameter])
