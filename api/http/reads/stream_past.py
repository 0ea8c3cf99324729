"""A stream as it was: at a version, or before a time, with its state folded by today's code and the events up to there.

A time means all records that the broker appended before it; with `by=occurred` all events that happened before it, by the clock of who
sent them. A version or time that the stream has not reached is refused: its answer could still change.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import msgspec

from refold.api.errors import Fault
from refold.api.http.commands.answer import stream_path
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
    times_of,
)
from refold.api.http.wire.answer import JSON, Answer
from refold.api.http.wire.database import Row
from refold.api.http.wire.parameters import bad_filter, shown
from refold.api.past_errors import StreamTooLong, TimeInvalid, TimeNotReached, VersionNotReached
from refold.schemas.contracts import Category
from refold.schemas.exact_text import instant_of
from refold.streams.log.history import Recorded

MOST_VERSION = 2**62
"""The largest version that a request may name."""
MOST_FOLDED = 100_000
"""Most events that one request folds to a past state."""
PARAMETERS = ("version", "at", "by")
APPENDED, OCCURRED = "appended", "occurred"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BLANK_OFFSET = re.compile(r" (?=[0-9]{2}:?[0-9]{2}$)")
_NOTHING = {"occurred_at": None, "recorded_at": None, "appended_at": None}
_VERSION_BEFORE = """
SELECT o.first_version - 1 + (SELECT count(*) FROM unnest(o.offsets) found WHERE found < %(offset)s)
  FROM refold.stream_offsets o
 WHERE o.category = %(category)s AND o.stream = %(stream)s AND o.offsets[1] < %(offset)s
 ORDER BY o.first_version DESC LIMIT 1
"""


@dataclass(frozen=True)
class Past:
    """What was asked: the version, or the time before which; `by` names whose clock."""

    version: int | None = None
    before: datetime | None = None
    by: str = APPENDED


@dataclass(frozen=True)
class PastPage:
    """A page of versions."""

    after: int
    limit: int


def read_past(raw: bytes) -> Past | None:
    """The version or time of a query string; None if it names neither. Raises FilterInvalid, LimitInvalid, TimeInvalid."""
    said = read_texts(raw, *PARAMETERS)
    if "version" in said and "at" in said:
        raise bad_filter("at", "version and at exclude each other")
    if "by" in said and ("at" not in said or said["by"] not in (APPENDED, OCCURRED)):
        raise bad_filter("by", f"by is {APPENDED} or {OCCURRED}, and stands beside at")
    if "version" in said:
        return Past(version=read_numbers(raw, version=(0, 0, MOST_VERSION))["version"])
    return Past(before=_moment(said["at"]), by=said.get("by", APPENDED)) if "at" in said else None


def _moment(text: str) -> datetime:
    """A time with its offset, or a day, which begins at midnight UTC. A blank before an offset is a `+` that was not encoded."""
    try:
        if _DAY.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        return instant_of(_BLANK_OFFSET.sub("+", text))
    except ValueError as problem:
        message = f"at is a time such as 2026-01-31T12:00:00.5Z, or a day, not {shown(text)}: {str(problem).removeprefix('Expected ')}"
        raise TimeInvalid(message, Fault("at", TimeInvalid.code, message)) from None


async def past_answer(
    streams: StreamServices, category: Category, stream: str, past: Past, page: PastPage
) -> Answer | None:
    """The stream as it was; None if there is no such stream. Raises VersionNotReached, TimeNotReached, StreamTooLong."""
    rows = await stream_rows(streams, category, stream, 1, 1)
    if not rows:
        return None
    found = _Stream(streams, category, stream, rows)
    return await (found.occurred(past.before, page) if past.by == OCCURRED and past.before else found.at(past, page))


@dataclass(frozen=True)
class _Then:
    """What a past state contains: its version, its last event (none at version 0), and the state; None: it cannot be folded."""

    version: int
    last: Recorded | None
    state: bytes | None


@dataclass(frozen=True)
class _Stream:
    """An existing stream, with its rows up to the first event."""

    streams: StreamServices
    category: Category
    stream: str
    rows: list[Row]

    @property
    def now(self) -> int:
        return int(self.rows[0][0])

    async def at(self, past: Past, page: PastPage) -> Answer:
        """As it was at a version, or before a time by the broker's clock."""
        version = past.version
        if version is None:
            assert past.before is not None
            version = await self._version_before(past.before)
        if version > self.now:
            raise VersionNotReached(
                f"{self.category.name} {self.stream} stands at version {self.now}, not at {version}"
            )
        upto = min(page.after + page.limit, version)
        events = await self._events(page.after + 1, upto)
        ends = events if events and upto == version else await self._events(version, version)
        then = _Then(version, ends[-1] if ends else None, await self._state(version))
        return self._answer(then, events, self._further(events, version, page, {"version": version}))

    async def occurred(self, before: datetime, page: PastPage) -> Answer:
        """By the events that happened before a time, in order of version: one that was sent late counts from when it happened."""
        self._refuse_long(self.now)
        last: list[Recorded] = []

        def counts(one: Recorded) -> bool:
            if one.meta.occurred_at < before:
                last[:] = [one]
            return one.meta.occurred_at < before

        state = await folded_state(self.streams, self.category, self.stream, self.now, counts)
        then = _Then(last[0].meta.version if last else 0, last[0] if last else None, state)
        read = await self._events(page.after + 1, min(page.after + page.limit, then.version))
        more = self._further(read, then.version, page, {"at": before.isoformat(), "by": OCCURRED})
        return self._answer(then, [one for one in read if one.meta.occurred_at < before], more)

    async def _version_before(self, before: datetime) -> int:
        """The version when the first record at or after the time was appended. Raises TimeNotReached."""
        part, reached, name = self.rows[0][3], self.rows[0][4] or 0, self.category.name
        if before > datetime.now(UTC):
            raise TimeNotReached(f"{before.isoformat()} is not past yet")
        millis = -((_EPOCH - before) // timedelta(milliseconds=1))  # up: the broker's times are whole milliseconds
        offset = await self.streams.offset_at(name, part, millis) if millis > 0 else 0
        if offset > reached:
            raise TimeNotReached(f"{name} is folded up to {part}:{reached}; the time lies at {part}:{offset}")
        asked = {"category": name, "stream": self.stream, "offset": offset}
        found = await self.streams.fetch(_VERSION_BEFORE, asked)
        return int(found[0][0]) if found else 0

    async def _events(self, first: int, last: int) -> list[Recorded]:
        if not 0 < first <= last:
            return []
        rows = await stream_rows(self.streams, self.category, self.stream, first, last)
        refuse_set_aside(self.streams, self.category, rows)
        return await read_events(self.streams, self.category, self.stream, places_of(rows, first, last))

    async def _state(self, version: int) -> bytes | None:
        """The state at a version: kept from an earlier request, stored, or folded from the log."""
        decider = self.streams.domains.deciders[self.category.name]
        if version == 0:
            return decider.dump(decider.initial)
        name = (self.category.name, self.stream, f"{decider.fingerprint} {version}")
        kept = self.streams.states.get(name, version)
        if kept is not None:
            return bytes(kept[1])
        now, stored, fingerprint, *_ = self.rows[0]
        if now == version and fingerprint == decider.fingerprint and stored is not None:
            return bytes(stored)
        self._refuse_long(version)
        state = await folded_state(self.streams, self.category, self.stream, version)
        if state is not None:
            self.streams.states.put(name, version, state, len(state))
        return state

    def _refuse_long(self, version: int) -> None:
        if version > MOST_FOLDED:
            where = f"{self.category.name} {self.stream}"
            raise StreamTooLong(
                f"a state of {where} would be folded from {version:,} events, at most {MOST_FOLDED:,} are"
            )

    def _further(self, events: list[Recorded], version: int, page: PastPage, past: dict[str, object]) -> str | None:
        """The path of the next page; None after the last one."""
        reached = events[-1].meta.version if events else version
        if reached >= version:
            return None
        return stream_path(self.category.name, self.stream, **past, after_version=reached, limit=page.limit)

    def _answer(self, then: _Then, events: list[Recorded], following: str | None) -> Answer:
        name = self.category.name
        part, first = places_of(self.rows, 1, 1)[0]
        position = token({(f"{name}.events", part): first if then.last is None else then.last.offset + 1})
        body = {
            "category": name,
            "stream": self.stream,
            "version": then.version,
            "current_version": self.now,
            **(times_of(then.last) if then.last is not None else _NOTHING),
            "state": None if then.state is None else msgspec.Raw(then.state),
            "events": [event_json(one) for one in events],
            "next": following,
            "position": position,
        }
        headers = {"ETag": f'"{then.version}"', "Refold-Position": position}
        if following is not None:
            headers["Link"] = f'<{following}>; rel="next"'
        return Answer(msgspec.json.encode(body), media_type=JSON, headers=headers)
