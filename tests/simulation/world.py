"""The simulated world: a log that loses acknowledgements, repeats and delays, and a Postgres that may be restored.

It has one partition of one category. Its handlers and folds are the shipped code (`Handler`, `Holder`, `Intake`,
`judge`); only Kafka, Postgres and the clock are simulated.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from refold.schemas.codec import Codec, Rejection, read_envelope
from refold.schemas.identity import outcome_key
from refold.schemas.meta import Claim, Meta, Voiding
from refold.streams.chunk import Chunk, Place
from refold.streams.handler.ports import Away, Snapshot, Wanted
from refold.streams.rules.claims_past import Controls
from refold.streams.rules.effects import StoredStream
from refold.streams.rules.judge import ClaimState, Envelope
from tests.simulation.domain import CATALOG, CATEGORY, DECIDER
from tests.simulation.reference import KNOWN_RULES, Domain, Effect, Redecide, Reference, Violation, may_count, step

NAME = CATEGORY.name
COMMANDS: Place = (f"{NAME}.commands", 0)
EVENTS: Place = (f"{NAME}.events", 0)
CODEC = Codec(CATALOG)


@dataclass(frozen=True)
class Postgres:
    """The tables at one moment; never changed, only replaced. `models_at` is the position of `rows`: events, their sum, and rejections."""

    position: int = 0
    claim: ClaimState | None = None
    streams: Mapping[str, StoredStream] = field(default_factory=dict)
    outcomes: Mapping[bytes, Effect] = field(default_factory=dict)
    voids: Sequence[tuple[int, int]] = ()
    models_at: int = 0
    rows: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)


@dataclass
class World:
    """Kafka and Postgres of the simulation, with the reference fold beside every record."""

    rng: Random
    redecide: Redecide
    commands: list[tuple[bytes, bytes]] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    reference: list[Reference] = field(default_factory=lambda: [Reference()])
    newer: list[int] = field(default_factory=list)
    """Offsets of claims of newer rules at which readers stand, until an operator takes them out."""
    counted: list[tuple[int, str, int | None]] = field(default_factory=list)
    pending: list[tuple[int, str, int | None]] = field(default_factory=list)
    postgres: Postgres = field(default_factory=Postgres)
    history: list[Postgres] = field(default_factory=lambda: [Postgres()])
    late: list[bytes] = field(default_factory=list)
    shown: dict[bytes, Effect] = field(default_factory=dict)
    restored: bool = False
    now: float = 0.0
    away: int = 0
    interrupt: Callable[[], None] = lambda: None

    def land(self, value: bytes) -> None:
        """A record reaches the log, and must be one that the reference can explain."""
        envelope = read_envelope(value)
        body = CODEC.read_event(value)[1] if isinstance(envelope, Meta) else None
        self.values.append(value)
        self.envelopes.append(envelope)
        body = None if isinstance(body, Rejection) else body
        if isinstance(envelope, Claim) and envelope.rules > KNOWN_RULES and may_count(self.reference[-1], envelope):
            self.newer.append(len(self.values) - 1)
        domain = Domain(self.redecide, DECIDER.evolve, DECIDER.initial)
        self.reference.append(step(self.reference[-1], envelope, body, domain))
        self._count(envelope, body)

    def _count(self, envelope: Envelope, body: Any) -> None:
        """Note the events and rejections that count, by the reference: offset, stream, and what an event adds."""
        before, now = self.reference[-2:]
        if isinstance(envelope, Meta) and now.next_seq > before.next_seq:
            self.pending.append((len(self.values) - 1, envelope.stream, None if body is None else body.seen))
        if len(now.outcomes) > len(before.outcomes):
            self.counted += self.pending
        if not now.pending:
            self.pending = []

    def controls(self) -> Controls:
        """The claims and voidings of the log."""
        return [(at, record) for at, record in enumerate(self.envelopes) if isinstance(record, Claim | Voiding)]

    def is_taken_out(self, offset: int) -> bool:
        """Whether the log has a voiding of the claim at an offset, as an operator would see it."""
        claim = self.envelopes[offset]
        assert isinstance(claim, Claim)
        return any(
            isinstance(other, Voiding)
            and other.epoch is None
            and (other.offset, other.writer) == (offset, claim.writer)
            for other in self.envelopes[offset + 1 :]
        )

    def commit(self, tables: Postgres) -> None:
        """The tables change: they must be the fold of the log before their position (I6), and show no outcome anew (I4)."""
        self._check(tables)
        for key, effect in tables.outcomes.items():
            if self.shown.setdefault(key, effect) != effect:
                raise Violation("I4: an outcome that was shown has changed")
        if not self.restored and self.shown.keys() - tables.outcomes.keys():
            raise Violation("I4: an outcome that was shown is gone")
        self._keep(tables)

    def commit_models(self, tables: Postgres) -> None:
        """The read models change, and nothing else (I9)."""
        self._check_models(tables)
        self._keep(tables)

    def _keep(self, tables: Postgres) -> None:
        self.postgres = tables
        self.history.append(tables)

    def restore(self) -> None:
        """Some earlier moment's tables, or empty ones."""
        self.postgres, self.restored = self.rng.choice(self.history), True

    def _check(self, tables: Postgres) -> None:
        want = self.reference[tables.position]
        if want.pending:
            raise Violation("I5: the position lies inside a group")
        if passed := [at for at in self.newer if at < tables.position and not self.is_taken_out(at)]:
            raise Violation(f"I10: claims of newer rules are passed, and nobody has taken them out: {passed}")
        claim = tables.claim or ClaimState()
        state = (claim.epoch, claim.rules, claim.writer, claim.next_seq, claim.last_command_offset)
        if state != (want.epoch, want.rules, want.writer, want.next_seq, want.last_command):
            raise Violation(f"I6: at {tables.position} the claim is {state}")
        if {s: (row.version, DECIDER.load(row.state)) for s, row in tables.streams.items()} != dict(want.streams):
            raise Violation(f"I6: at {tables.position} the streams are not the fold of the log")
        if {outcome_key(NAME, s, c.bytes): e for (s, c), e in want.outcomes.items()} != dict(tables.outcomes):
            raise Violation(f"I6: at {tables.position} the outcomes are not the fold of the log")

    def _check_models(self, tables: Postgres) -> None:
        """A read model is the fold of what counts before its position, which is never past the core's."""
        if tables.models_at > tables.position:
            raise Violation(f"I9: the models stand at {tables.models_at}, the core at {tables.position}")
        want: dict[str, tuple[int, int, int]] = {}
        for offset, stream, seen in self.counted:
            if offset < tables.models_at:
                events, total, refused = want.get(stream, (0, 0, 0))
                added = (events, total, refused + 1) if seen is None else (events + 1, total + seen, refused)
                want[stream] = added
        if tables.rows != want:
            raise Violation(f"I9: at {tables.models_at} the read model says {tables.rows}, the log {want}")


class SimulatedTables:
    """`HandlerTables`: whatever a read returns may be old by the time it is used."""

    def __init__(self, world: World) -> None:
        self._world = world

    def claims(self, places: Iterable[Place]) -> Mapping[Place, ClaimState]:
        seen = self._seen()
        return {place: seen.claim for place in places if seen.claim is not None}

    def snapshots(self, wanted: Sequence[Wanted]) -> Sequence[Snapshot]:
        return [self._snapshot(each) for each in wanted]

    def _snapshot(self, wanted: Wanted) -> Snapshot:
        seen = self._seen()
        found = {stream: seen.streams[stream] for stream in sorted(wanted.streams) if stream in seen.streams}
        return Snapshot(seen.claim, {key for key in wanted.keys if key in seen.outcomes}, found)

    def refold(self, category: str, stream: str, version: int) -> Any:
        raise AssertionError(f"no stored state is stale here: {category} {stream} {version}")

    def close(self) -> None: ...

    def _seen(self) -> Postgres:
        if self._world.away:
            self._world.away -= 1
            raise Away("simulated")
        seen = self._world.postgres
        self._world.interrupt()
        return seen


class SimulatedLog:
    """`EventLog`: a producer's queue whose records land, fail, land without acknowledgement, land late, or twice."""

    def __init__(self, world: World, *, idempotent: bool) -> None:
        self._world, self._idempotent = world, idempotent
        self.queue: list[bytes] = []
        self._failed = False

    def fits(self, category: str, key: bytes, value: bytes) -> bool:  # noqa: ARG002 - a protocol's names
        return True

    def append(self, category: str, part: int, key: bytes | None, value: bytes) -> None:
        del category, part, key
        self.queue.append(value)

    def failed(self) -> bool:
        failed, self._failed = self._failed, False
        return failed

    def discard(self) -> None:
        """What was under way may still land, at any time or never."""
        self._world.late += self.queue
        self.queue, self._failed = [], False

    def land(self, count: int) -> None:
        """The ordinary case."""
        landing, self.queue = self.queue[:count], self.queue[count:]
        for value in landing:
            self._world.land(value)

    def fault(self, kind: str) -> None:
        """The record at the head of the queue meets trouble; those behind it may land first."""
        value = self.queue.pop(1 if kind == "reorder" else 0)
        if kind not in {"fail", "limbo"}:
            self._world.land(value)
        if kind == "duplicate":
            self._world.land(value)
        if kind in {"limbo", "late-duplicate"}:
            self._world.late.append(value)
        if kind in {"lost-ack", "fail", "limbo"}:
            self._failed = True

    def faults(self) -> list[str]:
        """What can happen to it."""
        if not self.queue:
            return []
        kinds = ["lost-ack", "fail", "limbo"]
        if not self._idempotent:
            kinds += ["duplicate", "late-duplicate", *(["reorder"] if len(self.queue) > 1 else [])]
        return kinds


class SimulatedReader:
    """`Reader`: what `GroupReader` promises, without the thread: a place is read from the last seek on, in generations."""

    def __init__(self, place: Place, records: Callable[[], Sequence[tuple[bytes | None, bytes | None]]]) -> None:
        self._place, self._records = place, records
        self.assigned = False
        self.generation = 0
        self.assigned_times = 0
        self.next: int | None = None

    def assign(self, start: int | None) -> None:
        self.assigned, self.next = True, start
        self.assigned_times += 1
        self.generation += 1

    def assignments(self) -> dict[Place, int]:
        return {self._place: self.assigned_times} if self.assigned else {}

    def revoke(self) -> None:
        self.assigned, self.next = False, None

    def places(self) -> list[Place]:
        return [self._place] if self.assigned else []

    def is_current(self, chunk: Chunk) -> bool:
        return self.assigned and chunk.generation == self.generation

    def end(self, place: Place) -> int | None:
        del place
        return len(self._records())

    def position(self, place: Place) -> int | None:
        del place
        return self.next

    def seek(self, place: Place, offset: int) -> int:
        del place
        self.generation += 1
        self.next = offset
        return self.generation

    def pause(self, place: Place) -> None: ...

    def resume(self, place: Place) -> None: ...

    def read(self, most: int) -> list[Chunk]:
        """The next records, as the thread would hand them over."""
        records = self._records()
        if not self.assigned or self.next is None or self.next >= len(records):
            return []
        found = records[self.next : self.next + most]
        chunk = Chunk(*self._place, self.next, [v for _, v in found], [k for k, _ in found], None, self.generation)
        self.next = chunk.end
        return [chunk]
