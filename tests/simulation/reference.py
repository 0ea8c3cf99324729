"""The reference: computes the log's meaning without the code under test, and makes every decision again.

The rules are those of the protocol's executable model: claims by greater epoch, the next seq, whole groups, the belt.
A group takes effect only if the domain decides the same on exactly the state before it (I7). The belt must never be
needed (I1, I3): a handler that keeps to its duties never writes a known command or a wrong base.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from refold.schemas.contracts import Event
from refold.schemas.meta import Claim, Meta, Voiding


class Violation(AssertionError):
    """An invariant that does not hold, named as in the protocol (I1-I8)."""


@dataclass(frozen=True)
class Effect:
    """A command's outcome: whether it was rejected, its base version, its number of events, its body."""

    rejected: bool
    base: int
    events: int
    body: bytes


@dataclass(frozen=True)
class Reference:
    """The fold of a log prefix."""

    epoch: int = 0
    rules: int = 1
    writer: UUID | None = None
    next_seq: int = 0
    last_command: int = -1
    pending: tuple[tuple[Meta, Any], ...] = ()
    streams: dict[str, tuple[int, Any]] = field(default_factory=dict)
    outcomes: dict[tuple[str, UUID], Effect] = field(default_factory=dict)


Redecide = Callable[[Meta, Any, int], tuple[Event, ...] | None]
"""What the domain makes of a group's command on a state at a version: events, or None for a rejection."""


@dataclass(frozen=True)
class Domain:
    """What the reference asks of a domain. `prefixes`: each state of the fold is kept, so the next one must be a copy."""

    redecide: Redecide
    evolve: Callable[[Any, Any], Any]
    initial: Any
    prefixes: bool = True


KNOWN_RULES = 2
_UNBOUNDED, _FAR = 1, 2**62


def step(now: Reference, record: Claim | Meta | Voiding | None, body: Any, domain: Domain) -> Reference:
    """One record further. A claim of newer rules is none: who passes it has seen that it is taken out."""
    if isinstance(record, Claim | Voiding):
        return _controlled(now, record)
    if record is None or record.writer != now.writer or record.seq < now.next_seq:
        return now
    if (
        record.seq > now.next_seq
        or record.index != len(now.pending)
        or (now.pending and now.pending[0][0].command_id != record.command_id)
    ):
        return replace(now, writer=None, pending=())
    pending = (*now.pending, (record, body))
    now = replace(now, next_seq=now.next_seq + 1, pending=pending)
    if len(pending) < record.count:
        return now
    return _whole(replace(now, pending=()), [m for m, _ in pending], [b for _, b in pending], domain)


def _controlled(now: Reference, record: Claim | Voiding) -> Reference:
    if isinstance(record, Claim):
        if not may_count(now, record) or record.rules > KNOWN_RULES:
            return now
        rules = max(now.rules, record.rules)
        return replace(now, epoch=record.epoch, rules=rules, writer=record.writer, next_seq=0, pending=())
    if record.epoch is None or not 0 <= record.epoch < _FAR or now.epoch < max(_FAR, record.epoch + 1001):
        return now
    return replace(now, epoch=record.epoch, rules=max(now.rules, 2), writer=None, next_seq=0, pending=())


def may_count(now: Reference, claim: Claim) -> bool:
    """Whether a claim counts, if its rules are known."""
    ahead = claim.epoch - now.epoch
    return ahead > 0 and (ahead <= 1000 or now.rules == claim.rules == _UNBOUNDED)


def _whole(now: Reference, metas: list[Meta], bodies: list[Any], domain: Domain) -> Reference:
    first = metas[0]
    key = first.stream, first.command_id
    version, state = now.streams.get(first.stream, (0, domain.initial))
    if key in now.outcomes:
        raise Violation(f"I1: the valid writer appended {key} again")
    if first.base_version != version:
        raise Violation(f"I3: the valid writer decided on version {first.base_version}, the stream is at {version}")
    expected = domain.redecide(first, state, version)
    if expected != (tuple(bodies) if first.is_event else None):
        raise Violation(f"I7: {key} was not decided on the state before it")
    streams = dict(now.streams) if domain.prefixes else now.streams
    outcomes = dict(now.outcomes) if domain.prefixes else now.outcomes
    if first.is_event:
        for body in bodies:
            state = domain.evolve(state, body)
        streams[first.stream] = version + len(bodies), state
    outcomes[key] = Effect(not first.is_event, first.base_version, len(bodies) * first.is_event, first.body_hash)
    return replace(now, last_command=first.command_offset, streams=streams, outcomes=outcomes)
