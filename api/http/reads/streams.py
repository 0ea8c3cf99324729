"""A stream over HTTP: its state and version from Postgres, its events from the log by the offsets that the core noted.

Events are shown as today's code reads them: an upcaster turns a stored event of a retired type into events of today. A page is a
range of versions, so it may show more events than it has versions.
"""

import logging
from typing import Any

import msgspec
from litestar import Request, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation

from refold.api.errors import ApiError, Fault, RouteUnknown, StreamAbsent
from refold.api.http.commands.answer import stream_path
from refold.api.http.commands.request import checked_stream, find_category
from refold.api.http.commands.routes import Services as Commands
from refold.api.http.commands.routes import outcome_of
from refold.api.http.reads.positions import token
from refold.api.http.reads.request import read_numbers, read_texts
from refold.api.http.reads.services import StreamServices
from refold.api.http.wire.answer import JSON, Answer
from refold.api.http.wire.database import Row
from refold.api.http.wire.parameters import refuse_unknown
from refold.api.http.wire.paths import raw_behind
from refold.api.unavailable import StreamUnreadable
from refold.schemas.contracts import Category
from refold.schemas.errors import NewerSchema
from refold.streams import journal
from refold.streams.domain import AnyDecider
from refold.streams.errors import EventUnreadable, Unreachable
from refold.streams.log.history import Recorded
from refold.streams.postgres.set_aside import KILLED
from refold.streams.rules.effects import BROKEN

MAX_EVENTS = 1000
MOST_REFOLDED = 10_000
"""Most events of a stream that the API folds itself if other code folded its state. A longer one shows no state until its next event lets the core fold it again."""
_log = logging.getLogger(__name__)
Services = NamedDependency[SkipValidation[StreamServices]]

# One statement, so that version, state and offsets come from one snapshot.
_STREAM = """
SELECT s.version, s.state, s.state_fingerprint, w.part, p.next_offset, o.first_version, o.offsets, (
       SELECT ARRAY[a.record_offset::text, a.reason] FROM refold.set_aside a
        WHERE a.topic = %(topic)s AND a.grp <> 'models' AND a.part = o.part
          -- of a chunk's offsets only the page's: the versions around it are answered
          AND a.record_offset = ANY(o.offsets[greatest(%(first)s - o.first_version + 1, 1):%(last)s - o.first_version + 1])
        ORDER BY a.record_offset LIMIT 1)
  FROM refold.streams s
  LEFT JOIN LATERAL (
       SELECT part FROM refold.stream_offsets WHERE category = s.category AND stream = s.stream LIMIT 1) w ON true
  LEFT JOIN refold.positions p ON p.grp = 'core' AND p.topic = %(topic)s AND p.part = w.part
  LEFT JOIN refold.stream_offsets o
    ON o.category = s.category AND o.stream = s.stream
   AND o.first_version <= %(last)s AND o.first_version + cardinality(o.offsets) > %(first)s
   AND o.first_version >= coalesce((  -- by the key alone: a long stream has as many rows as it had chunks
       SELECT max(first_version) FROM refold.stream_offsets
        WHERE category = %(category)s AND stream = %(stream)s AND first_version <= %(first)s), 0)
 WHERE s.category = %(category)s AND s.stream = %(stream)s
 ORDER BY o.first_version
"""

_ABSENT = """
SELECT p.part, p.next_offset, EXISTS (SELECT FROM refold.streams s WHERE s.category = %(category)s AND s.stream = %(stream)s)
  FROM refold.positions p WHERE p.grp = 'core' AND p.topic = %(topic)s
"""


@get("/v1/streams/{domain:str}/{category:str}/{stream:str}", parameters=("after_version", "limit"))
async def read_stream(
    request: Request[Any, Any, Any],
    streams: Services,
    domain: FromPath[str],
    category: FromPath[str],
    stream: FromPath[str],
) -> Answer:
    """State, version and a page of events."""
    if raw_behind(request, "v1", "streams", domain, category, stream) is not None:
        raise RouteUnknown("there is nothing at this path")
    found = find_category(streams.domains, domain, category)
    return await _read(streams, found, checked_stream(stream), request.scope["query_string"])


@get("/v1/streams/{domain:str}/{category:str}", parameters=("stream", "command", "after_version", "limit"))
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
    page = read_numbers(raw, after_version=(0, 0, 2**62), limit=(100, 0, MAX_EVENTS))
    first, last = page["after_version"] + 1, page["after_version"] + page["limit"]
    where = {"category": found.name, "stream": stream, "first": first, "last": last}
    topic = f"{streams.topic_prefix}{found.name}.events"
    rows = await streams.fetch(_STREAM, {**where, "topic": topic})
    if not rows:
        return await _absent(streams, found, {**where, "topic": topic}, raw)
    places = _places(rows, first, last)
    for *_, part, _, _, _, aside in rows:
        if aside is not None:
            raise _unreadable(EventUnreadable((topic, part), int(aside[0]), aside[1], KILLED))
    try:
        events = await streams.read(found.name, places) if places else []
    except EventUnreadable as problem:
        raise _unreadable(problem) from problem
    except NewerSchema as problem:
        message = f"an event of the page is of newer code: {problem.message}"
        raise StreamUnreadable(message, Fault(stream, problem.code, problem.message)) from problem
    state = msgspec.Raw(folded) if (folded := await _state(streams, found, where, rows)) is not None else None
    reached = events[-1].meta.version if events else 0  # fewer than requested if their bytes fill a page
    more = 0 < reached < rows[0][0]
    following = stream_path(found.name, stream, after_version=reached, limit=page["limit"]) if more else None
    return _answer(found, stream, rows, {"state": state, "events": [_event(e) for e in events], "next": following})


async def _absent(streams: StreamServices, found: Category, where: dict[str, Any], raw: bytes) -> Answer:
    """The core's position, although it has not seen the stream. Raises StreamAbsent; a stream that has arrived meanwhile is answered."""
    rows = await streams.fetch(_ABSENT, where)
    if any(is_there for _, _, is_there in rows):
        return await _read(streams, found, where["stream"], raw)
    absent = StreamAbsent(f"{found.name} {where['stream']} has no events")
    if rows:
        absent.headers = {"Refold-Position": token({(f"{found.name}.events", part): at for part, at, _ in rows})}
    raise absent


def _unreadable(problem: EventUnreadable) -> StreamUnreadable:
    """The event's place, as log-check names it, and the reason why it is unreadable, as in a parked stream of the models."""
    place = f"{problem.place[0]}/{problem.place[1]}@{problem.offset}"
    message = f"an event of the page cannot be read: {problem.message}"
    return StreamUnreadable(message, Fault(place, problem.reason, problem.message))


async def _state(streams: StreamServices, category: Category, where: dict[str, Any], rows: list[Row]) -> bytes | None:
    """The stored state, or one folded from the log if other code has folded the stored one. None: it cannot be folded."""
    version, state, fingerprint = rows[0][:3]
    decider = streams.domains.deciders[category.name]
    if fingerprint in (decider.fingerprint, BROKEN) or not 0 < version <= MOST_REFOLDED:
        return bytes(state) if state is not None and fingerprint == decider.fingerprint else None
    topic = f"{streams.topic_prefix}{category.name}.events"
    whole = await streams.fetch(_STREAM, {**where, "first": 1, "last": version, "topic": topic})
    if any(row[-1] is not None for row in whole):
        return None
    try:
        return decider.dump(await _folded(streams, decider, _places(whole, 1, version)))
    except (Unreachable, ApiError):
        raise
    except (
        Exception
    ):  # an author's evolve or upcaster may fail in any way; the core stops such a stream, and this answer agrees
        _log.warning(
            "%s %s cannot be folded",
            category.name,
            where["stream"],
            exc_info=True,
            extra=journal.about(of=category.name),
        )
        return None


async def _folded(streams: StreamServices, decider: AnyDecider, places: list[tuple[int, int]]) -> Any:
    """The state after all events, folded page by page."""
    state = decider.initial
    while places:
        page = await streams.read(decider.category.name, places)
        state = decider.fold(tuple(one.event for one in page), state)
        places = [place for place in places if place[1] > page[-1].offset]
    return state


def _places(rows: list[Row], first: int, last: int) -> list[tuple[int, int]]:
    """(partition, offset) of the events with versions first … last."""
    return [
        (part, offset)
        for *_, part, _, start, offsets, _ in rows
        if offsets is not None
        for version, offset in enumerate(offsets, start)
        if first <= version <= last
    ]


def _answer(category: Category, stream: str, rows: list[Row], found: dict[str, Any]) -> Answer:
    version, _, _, part, position, *_ = rows[0]
    body: dict[str, Any] = {"category": category.name, "stream": stream, "version": version, **found}
    headers = {"ETag": f'"{version}"'}
    if part is not None and position is not None:
        headers["Refold-Position"] = body["position"] = token({(f"{category.name}.events", part): position})
    if found["next"] is not None:
        headers["Link"] = f'<{found["next"]}>; rel="next"'
    return Answer(msgspec.json.encode(body), media_type=JSON, headers=headers)


def _event(recorded: Recorded) -> dict[str, Any]:
    meta = recorded.meta
    return {
        "version": meta.version,
        "index": recorded.index,
        "type": type(recorded.event).__name__,
        "stored_type": recorded.stored_type,
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


ROUTES = Router("/", route_handlers=[read_stream, read_by_parameter])
