"""One stream in the tables and in the log: its row, the places of its events, and these as JSON."""

import logging
from collections.abc import Callable
from typing import Any

from refold.api.errors import ApiError, Fault
from refold.api.http.reads.services import StreamServices
from refold.api.http.wire.database import Row
from refold.api.unavailable import StreamUnreadable
from refold.schemas.contracts import Category
from refold.schemas.errors import NewerSchema
from refold.streams import journal
from refold.streams.domain import AnyDecider
from refold.streams.errors import EventUnreadable, Unreachable
from refold.streams.log.history import Recorded
from refold.streams.postgres.set_aside import KILLED

Places = list[tuple[int, int]]
"""Partition and offset of each event."""
Counts = Callable[[Recorded], bool]
_log = logging.getLogger(__name__)

# One statement, so that version, state and offsets come from one snapshot.
STREAM = """
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


def topic_of(streams: StreamServices, category: Category) -> str:
    """The topic of a category's events."""
    return f"{streams.topic_prefix}{category.name}.events"


async def stream_rows(streams: StreamServices, category: Category, stream: str, first: int, last: int) -> list[Row]:
    """The stream's rows with the chunks of offsets that hold the versions first … last; none if there is no stream."""
    where = {"category": category.name, "stream": stream, "first": first, "last": last}
    return await streams.fetch(STREAM, {**where, "topic": topic_of(streams, category)})


def places_of(rows: list[Row], first: int, last: int) -> Places:
    """The places of the events with versions first … last."""
    return [
        (part, offset)
        for *_, part, _, start, offsets, _ in rows
        if offsets is not None
        for version, offset in enumerate(offsets, start)
        if first <= version <= last
    ]


def refuse_set_aside(streams: StreamServices, category: Category, rows: list[Row]) -> None:
    """Raise StreamUnreadable if one of the versions for which the rows were asked is set aside."""
    for *_, part, _, _, _, aside in rows:
        if aside is not None:
            place = topic_of(streams, category), part
            raise unreadable(EventUnreadable(place, int(aside[0]), aside[1], KILLED))


async def read_events(streams: StreamServices, category: Category, stream: str, places: Places) -> list[Recorded]:
    """The first of these events, as many as a page holds. Raises StreamUnreadable."""
    try:
        return await streams.read(category.name, places) if places else []
    except EventUnreadable as problem:
        raise unreadable(problem) from problem
    except NewerSchema as problem:
        message = f"an event of the page is of newer code: {problem.message}"
        raise StreamUnreadable(message, Fault(stream, problem.code, problem.message)) from problem


def unreadable(problem: EventUnreadable) -> StreamUnreadable:
    """The event's place, as log-check names it, and the reason why it is unreadable, as in a parked stream of the models."""
    place = f"{problem.place[0]}/{problem.place[1]}@{problem.offset}"
    message = f"an event of the page cannot be read: {problem.message}"
    return StreamUnreadable(message, Fault(place, problem.reason, problem.message))


def _all(_: Recorded) -> bool:
    return True


async def folded_state(
    streams: StreamServices, category: Category, stream: str, version: int, counts: Counts = _all
) -> bytes | None:
    """The state after the events up to a version that count, folded from the log. None: it cannot be folded."""
    decider = streams.domains.deciders[category.name]
    rows = await stream_rows(streams, category, stream, 1, version)
    if any(row[-1] is not None for row in rows):
        return None
    try:
        return decider.dump(await _folded(streams, decider, places_of(rows, 1, version), counts))
    except (Unreachable, ApiError):
        raise
    except (
        Exception
    ):  # an author's evolve or upcaster may fail in any way; the core stops such a stream, and this answer agrees
        about = journal.about(of=category.name)
        _log.warning("%s %s cannot be folded", category.name, stream, exc_info=True, extra=about)
        return None


async def _folded(streams: StreamServices, decider: AnyDecider, places: Places, counts: Counts) -> Any:
    """The state after all events that count, folded page by page."""
    state = decider.initial
    while places:
        page = await streams.read(decider.category.name, places)
        state = decider.fold(tuple(one.event for one in page if counts(one)), state)
        places = [place for place in places if place[1] > page[-1].offset]
    return state


def event_json(recorded: Recorded) -> dict[str, Any]:
    """An event with its envelope and its place, as answers show it."""
    meta = recorded.meta
    return {
        "version": meta.version,
        "index": recorded.index,
        "type": type(recorded.event).__name__,
        "stored_type": recorded.stored_type,
        "id": meta.event_id,
        **times_of(recorded),
        "command_id": meta.command_id,
        "actor": meta.actor,
        "correlation_id": meta.correlation_id,
        "partition": recorded.part,
        "offset": recorded.offset,
        "data": recorded.event,
    }


def times_of(recorded: Recorded) -> dict[str, Any]:
    """When it happened by the client's clock, was decided by the handler's, and was appended by the broker's."""
    meta = recorded.meta
    return {"occurred_at": meta.occurred_at, "recorded_at": meta.recorded_at, "appended_at": recorded.appended_at}
