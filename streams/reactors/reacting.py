"""Answers a batch of events: gives commands to send, states to keep, streams to park. No I/O: states are handed in.

Invariant: a reactor's answer is a function of its stream's events up to the one answered. So the commands and their ids
are the same, however often and by however many processes the event is read.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from refold.schemas.arithmetic import authors_arithmetic
from refold.schemas.contracts import Command
from refold.schemas.errors import BadValue, NewerSchema, Undecodable
from refold.schemas.identity import reaction_uuid
from refold.schemas.meta import CommandMeta, Meta
from refold.streams.errors import LogCorrupt, LogRefused, Refused, Unreachable
from refold.streams.reactors.arrived import Arrived
from refold.streams.reactors.reactor import MAX_COMMANDS_PER_EVENT, Reactor, Seen
from refold.streams.sending.command_record import Addressed, CommandRecord

ReactorStream = tuple[str, str]
"""A reactor's name and a stream of its category."""
REACT_FAILED, COMMAND_INVALID, STATE_UNREADABLE = "react-failed", "command-invalid", "state-unreadable"
Recall = Callable[[Reactor, str, int], Any]
"""Gives a reactor's state of a stream at a version, folded from the log.

Raises OperationalError, Unreachable, LogRefused, and what a fold raises.
"""


@dataclass(frozen=True)
class StoredState:
    """A stored state of a stream, after the event with this version."""

    version: int
    state: bytes
    fingerprint: str


@dataclass(frozen=True)
class Parked:
    """The place from which on a stream waits for a reactor, and the reason."""

    category: str
    part: int
    first_offset: int
    code: str
    reason: str


@dataclass
class Answers:
    """The results of a batch."""

    records: list[CommandRecord] = field(default_factory=list)
    commands: Counter[str] = field(default_factory=Counter)
    states: dict[ReactorStream, StoredState] = field(default_factory=dict)
    parked: dict[ReactorStream, Parked] = field(default_factory=dict)
    released: set[ReactorStream] = field(default_factory=set)
    waiting: Counter[ReactorStream] = field(default_factory=Counter)


class _Unanswerable(Exception):
    """An event cannot be answered, so its stream is parked."""

    def __init__(self, code: str, problem: Exception) -> None:
        super().__init__(code, problem)
        self.code, self.reason = code, f"{type(problem).__name__}: {problem}"


class Reacting:
    """Answers the events of one batch, each stream's in order."""

    def __init__(
        self,
        addressed: Addressed,
        states: Mapping[ReactorStream, StoredState],
        parked: Mapping[ReactorStream, int],
        recall: Recall,
    ) -> None:
        """`parked`: the offset from which on each parked stream waits."""
        self._addressed, self._stored, self._recall = addressed, states, recall
        self._from = dict(parked)
        self._now: dict[ReactorStream, Any] = {}
        self._answers = Answers()

    def take(self, event: Arrived) -> None:
        """Let each reactor that reads an event answer it. Raises OperationalError, Unreachable, LogRefused."""
        for reactor in event.readers:
            key = (reactor.name, event.meta.stream)
            first = self._from.get(key)
            if first is not None and event.offset > first:
                self._answers.waiting[key] += 1
            else:
                self._answer(reactor, key, event)

    def answers(self) -> Answers:
        """The results so far."""
        return self._answers

    def _answer(self, reactor: Reactor, key: ReactorStream, event: Arrived) -> None:
        try:
            state, commands = self._reaction(reactor, key, event)
            stored = StoredState(event.meta.version, _dumped(reactor, state), reactor.fingerprint)
            records = _records(self._addressed, reactor, event.meta, commands)
        except _Unanswerable as problem:
            self._from[key] = event.offset
            self._answers.parked[key] = Parked(
                event.meta.category, event.part, event.offset, problem.code, problem.reason
            )
            self._answers.waiting[key] = 1
            return
        if self._from.get(key) == event.offset:
            del self._from[key]
            self._answers.released.add(key)
        if reactor.remembers:
            self._now[key], self._answers.states[key] = state, stored
        self._answers.records += records
        self._answers.commands[reactor.name] += len(records)

    def _reaction(self, reactor: Reactor, key: ReactorStream, event: Arrived) -> tuple[Any, list[Command]]:
        """The state after an event, and the commands that answer it."""
        if isinstance(event.events, Undecodable):
            raise _Unanswerable(event.events.reason, event.events)
        state, seen = self._before(reactor, key, event.meta.version), _seen(event.meta)
        commands: list[Command] = []
        try:
            for today in event.events:
                if isinstance(today, reactor.reads):
                    with authors_arithmetic():  # a generator of commands runs within it, too
                        state = reactor.evolve(state, today)
                        commands += reactor.react(today, state, seen)
        except Exception as problem:  # an author's code may fail in any way; only its stream waits
            raise _Unanswerable(REACT_FAILED, problem) from problem
        if len(commands) > MAX_COMMANDS_PER_EVENT:
            too_many = ValueError(
                f"{len(commands)} commands for one event; at most {MAX_COMMANDS_PER_EVENT} are allowed"
            )
            raise _Unanswerable(COMMAND_INVALID, too_many)
        return state, commands

    def _before(self, reactor: Reactor, key: ReactorStream, version: int) -> Any:
        """The state before the event. A newer stored state is of another reading or other code, and is not used."""
        if not reactor.remembers or version == 1:
            return reactor.initial
        if key in self._now:
            return self._now[key]
        stored = self._stored.get(key)
        try:
            if stored is not None and stored.version < version and stored.fingerprint == reactor.fingerprint:
                return reactor.load(stored.state)
            return self._recall(reactor, key[1], version - 1)
        except (NewerSchema, LogCorrupt) as problem:
            raise _Unanswerable(problem.code, problem) from problem
        except (psycopg.Error, Unreachable, Refused, LogRefused):
            raise
        except Exception as problem:  # as above: an earlier event cannot be read or folded
            raise _Unanswerable(STATE_UNREADABLE, problem) from problem


def _seen(meta: Meta) -> Seen:
    return Seen(
        category=meta.category,
        stream=meta.stream,
        version=meta.version,
        event_id=meta.event_id,
        occurred_at=meta.occurred_at,
        actor=meta.actor,
        correlation_id=meta.correlation_id,
    )


def _dumped(reactor: Reactor, state: Any) -> bytes:
    try:
        return reactor.dump(state)
    except Exception as problem:  # as above: evolve returned something that is no state
        raise _Unanswerable(REACT_FAILED, problem) from problem


def _records(addressed: Addressed, reactor: Reactor, cause: Meta, commands: list[Command]) -> list[CommandRecord]:
    """The records of an answer, all or none: a command that cannot be written parks the stream before anything is sent.

    The envelope is frozen permanently and has no field for a cause, so the actor names the reactor and the event.
    """
    try:
        records = []
        for index, command in enumerate(commands):
            category, stream = addressed.target(command)
            meta = CommandMeta(
                command_id=reaction_uuid(reactor.name, cause.event_id, index),
                category=category.name,
                stream=stream,
                occurred_at=cause.occurred_at,
                actor=f"reactor:{reactor.name}/{cause.event_id}",
                correlation_id=cause.correlation_id or str(cause.command_id),
            )
            records.append(addressed.record(meta, command))
    except BadValue as problem:
        raise _Unanswerable(COMMAND_INVALID, problem) from problem
    return records
