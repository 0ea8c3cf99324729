"""Decides one command on one state and gives the records to append. Total: every command gets an outcome. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from refold.schemas.arithmetic import authors_arithmetic
from refold.schemas.codec import Codec, Rejection, encode_rejection
from refold.schemas.contracts import MAX_EVENTS_PER_COMMAND, Category, Command, Event
from refold.schemas.envelope import Values
from refold.schemas.errors import BadValue, EventRetired, NewerSchema, RecordTooLarge
from refold.schemas.identity import event_id
from refold.schemas.upcast import upcasts_of
from refold.schemas.validate import from_fields
from refold.streams.decider import Rejected
from refold.streams.domain import AnyDecider

VERSION_CONFLICT = "version-conflict"
UNREADABLE = "command-unreadable"
DECIDE_FAILED = "decide-failed"
STATE_UNREADABLE = "stream-unreadable"
EVENTS_REFUSED = "events-refused"


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """A command as read from the log.

    `command`: of an unreadable command its rejection; of one that only newer code can read, why it is left undecided.
    """

    name: str
    command: Command | Rejected | NewerSchema
    command_id: bytes
    body_hash: bytes
    stream: str
    offset: int
    occurred_at: datetime
    expected_version: int | None = None
    actor: str | None = None
    correlation_id: str | None = None


class Decided(msgspec.Struct, frozen=True, gc=False):
    """The decision on one command: events with the state after them, or a rejection."""

    events: tuple[Event, ...]
    state: Any
    rejection: Rejected | None


def decide(decider: AnyDecider, incoming: Incoming, state: Any, version: int) -> Decided:
    """Ask the domain. A wrong expected version or any failure is a rejection."""
    if (refused := refused_unseen(incoming, version)) is not None:
        return Decided((), state, refused)
    try:
        with authors_arithmetic():  # a generator of events runs within it, too
            decision = decider.ask(incoming.command, state)
            if isinstance(decision, Rejected):
                return Decided((), state, _in_words(decision))
            events = _checked(decision, decider.category)
            return Decided(events, decider.go_on(events, state), None)
    except Exception as problem:
        return Decided((), state, _refusal(problem))


def refused_unseen(incoming: Incoming, version: int) -> Rejected | None:
    """The rejection that a command gets in any state, or None. Raises NewerSchema if only newer code can decide it."""
    if isinstance(incoming.command, NewerSchema):
        raise incoming.command
    if isinstance(incoming.command, Rejected):
        return incoming.command
    if incoming.expected_version is not None and incoming.expected_version != version:
        message = f"the stream is at version {version}, expected was {incoming.expected_version}"
        return Rejected(VERSION_CONFLICT, message)
    return None


def _refusal(problem: Exception) -> Rejected:
    """The rejection that tells a command's sender of the domain's failure."""
    match problem:
        case BadValue():
            return Rejected(EVENTS_REFUSED, f"{problem.field}: {problem.message}")
        case EventRetired():
            return Rejected(problem.code, problem.message)
    return Rejected(DECIDE_FAILED, f"{type(problem).__name__}: {_said_by(problem)}")


def _in_words(rejected: Rejected) -> Rejected:
    """A domain's rejection, after a check that it can be written: authors may return anything. Raises TypeError."""
    if not isinstance(rejected.code, str) or not isinstance(rejected.message, str):
        raise TypeError("the code and the message of a rejection are texts")
    return rejected


def _said_by(problem: Exception) -> str:
    """The message of an author's exception. Its `__str__` is the author's code, too, and may fail."""
    try:
        return str(problem)
    except Exception as worse:
        return f"its message cannot be read ({type(worse).__name__})"


def records(codec: Codec, incoming: Incoming, decided: Decided, at: "Destination") -> list[bytes]:
    """The group's records, encoded. Raises BadValue for an event that cannot be written."""
    events, rejection = decided.events, decided.rejection
    if rejection is None:
        return [codec.event(at.head(incoming, i, len(events)), event) for i, event in enumerate(events)]
    refused = Rejection(incoming.name, rejection.code, rejection.message)
    try:
        return [encode_rejection(at.head(incoming, 0, 1, is_event=False), refused)]
    except RecordTooLarge:  # the sender's texts leave no room for it; everything else in it is bounded
        unnamed = msgspec.structs.replace(incoming, actor=None, correlation_id=None)
        return [encode_rejection(at.head(unnamed, 0, 1, is_event=False), refused)]


class Destination(msgspec.Struct, frozen=True, gc=False):
    """A group's place in the log: its category, writer, first seq, base version and time."""

    category: str
    writer: bytes
    seq: int
    base_version: int
    now: datetime

    def head(self, incoming: Incoming, index: int, count: int, *, is_event: bool = True) -> Values:
        """The envelope of the group's record number `index`, in the order of `EVENT.names`."""
        return (
            self.writer,
            incoming.command_id,
            incoming.body_hash,
            event_id(self.category, incoming.stream, incoming.command_id, index),
            self.category,
            incoming.stream,
            self.base_version + index + 1 if is_event else self.base_version,
            self.base_version,
            self.seq + index,
            index,
            count,
            incoming.offset,
            incoming.occurred_at,
            self.now,
            incoming.actor,
            incoming.correlation_id,
        )


def _checked(decision: Event | Sequence[Event], category: Category) -> tuple[Event, ...]:
    """The events, each checked to be of one of today's types and within its bounds. Raises BadValue, EventRetired."""
    events = (decision,) if isinstance(decision, Event) else tuple(decision)
    if not 1 <= len(events) <= MAX_EVENTS_PER_COMMAND:
        raise BadValue(f"{len(events)} events; 1 to {MAX_EVENTS_PER_COMMAND} are allowed")
    for event in events:
        if type(event) not in category.events:
            raise _strange(type(event), category)
    return tuple([from_fields(msgspec.structs.asdict(event), type(event)) for event in events])


def _strange(kind: type, category: Category) -> BadValue | EventRetired:
    if kind in upcasts_of(category).by_class:
        return EventRetired(f"decide gave {kind.__name__}, which is retired: it is read, and no longer written")
    return BadValue(f"{kind.__name__} is no event of {category.name}")


def utc_now() -> datetime:
    """The handler's clock."""
    return datetime.now(UTC)
