"""The handler: claims partitions of commands, decides in order, and appends outcomes to the matching events' partition.

It reads the tables through one snapshot for a batch of every partition, and adds what it appended itself (`holder`). Nothing here is durable:
after a crash the next owner reads from last_command_offset + 1, and the log voids records that came too late.
It does no I/O of its own: tables, log and reader are handed in, and the simulation hands in others.
"""

import logging
import random
import socket
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from uuid import UUID

from refold.schemas.codec import Codec, encode_claim
from refold.schemas.errors import NewerSchema
from refold.schemas.meta import LAST_EPOCH, RULES, Claim
from refold.streams import journal, metrics
from refold.streams.chunk import Chunk, Place
from refold.streams.domain import Domains
from refold.streams.errors import LogCorrupt, WrongPartitions
from refold.streams.failpoints import failpoint
from refold.streams.guard.guard import Guard, Unguarded
from refold.streams.handler.batch import Deciding
from refold.streams.handler.decide import Incoming, utc_now
from refold.streams.handler.held import Batch, HeldPartition, say_unclaimable
from refold.streams.handler.holder import Change, Holder, Mode
from refold.streams.handler.incoming import CommandReader, about_command, say_undecidable
from refold.streams.handler.ports import Away, EventLog, HandlerTables, Snapshot
from refold.streams.log.topics import category_of, events_topic
from refold.streams.rules.judge import ClaimState
from refold.streams.standing import goes_on, waits
from refold.streams.worker.ports import Reader

_log = logging.getLogger(__name__)
GROUP = "handler"
_PAUSE_S, _LOOK_S, _AGAIN_S = 0.2, 0.1, 1.0
_MOST_AT_ONCE = 4_000


@dataclass(frozen=True)
class Names:
    """The prefix of the topics' names, and the number of their partitions."""

    prefix: str
    partitions: int


@dataclass(frozen=True)
class Surroundings:
    """Clock, chance and guard of a handler; a test hands in its own."""

    stopping: Event = field(default_factory=Event)
    clock: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)
    guard: Guard = field(default_factory=Unguarded)
    standing: dict[Place, tuple[UUID, int]] = field(default_factory=dict)
    """By partition of commands: our claim's writer, and the next offset that is neither decided nor passed over."""


class Handler:
    """Decides the commands of its partitions. One thread drives it."""

    def __init__(
        self, tables: HandlerTables, log: EventLog, reader: Reader, domains: Domains, names: Names, around: Surroundings
    ) -> None:
        self._tables, self._log, self._reader = tables, log, reader
        self._domains, self._names, self._around = domains, names, around
        self._codec = Codec(domains.catalog)
        self._held: dict[Place, HeldPartition] = {}
        self._looked = -_LOOK_S

    def take(self, chunks: Sequence[Chunk]) -> None:
        """Take commands that have arrived, and decide what can be decided."""
        for chunk in chunks:
            held = self._held.get(chunk.place)
            if held is not None and chunk.generation == held.generation:
                held.waiting.append(chunk)
                if held.is_full() and not held.paused:
                    held.paused = True
                    self._reader.pause(chunk.place)
        self.wake()

    def wake(self) -> None:
        """Look at the rows of our partitions, then decide what waits."""
        self._follow_assignment()
        if self._log.failed():
            self._lose_all()
        try:
            if self._must_look():
                self._look()
            self._work()
            goes_on(self)
        except Away as problem:
            if waits(self, str(problem)):
                _log.warning("handler: waiting for a server: %s", problem, extra=journal.about(problem.__cause__))
            self._around.stopping.wait(_PAUSE_S)

    def is_waiting(self) -> bool:
        """Whether a partition waits for its claim, or for the core to count what is appended."""
        return any(held.holder.mode is not Mode.OWNING or not held.has_room() for held in list(self._held.values()))

    def positions(self) -> dict[Place, int]:
        """The next command's offset, of each partition that we have claimed."""
        return {place: at for place, (_, at) in self._around.standing.copy().items()}

    check = wake

    def close(self) -> None:
        """Give the connections back."""
        self._tables.close()

    def _follow_assignment(self) -> None:
        """Drop revoked partitions. New ones, and those lost and given back between two looks, begin without a claim."""
        ours = self._reader.assignments()
        for place in [place for place, held in self._held.items() if ours.get(place) != held.assignment]:
            goes_on(self._held.pop(place))
            self._around.standing.pop(place, None)
        for place in sorted(ours.keys() - self._held.keys()):
            if place[1] >= self._names.partitions:  # keys have moved: new commands would be rejected as unreadable
                raise WrongPartitions(f"the topic {place[0]} has got partitions beyond its {self._names.partitions}")
            category = category_of(self._names.prefix, place[0])
            commands = CommandReader(self._codec, category, self._names.partitions)
            self._held[place] = HeldPartition(category, place[1], ours[place], Holder(self._around.rng), commands)

    def _must_look(self) -> bool:
        """Look on every wake while a claim or room is awaited; else every 100 ms: each snapshot reads its own row."""
        return self.is_waiting() or self._around.clock() - self._looked >= _LOOK_S

    def _look(self) -> None:
        """Read every partition's row; then own, lose or claim the partition."""
        self._looked = self._around.clock()
        rows = self._tables.claims({(held.category, held.part) for held in self._held.values()})
        now = self._around.clock()
        for place, held in self._held.items():
            row = rows.get((held.category, held.part))
            change = held.holder.observe(row, now)
            if change is Change.OWNED and row is not None:
                self._begin(place, held, row)
            elif change is Change.LOST:
                self._lost(place, held, "its claim does not count")
            if held.holder.wants_claim(now):
                self._claim(held, row)

    def _begin(self, place: Place, held: HeldPartition, row: ClaimState) -> None:
        """Read commands after the last decided one, by the row that showed our claim; never from memory."""
        held.waiting.clear()
        held.generation = self._reader.seek(place, row.last_command_offset + 1)
        self._stands(place, held, row.last_command_offset + 1)
        self._resume(place, held)
        metrics.CLAIMS.labels("won").inc()
        begin, told = row.last_command_offset + 1, journal.about(place=place, offset=row.last_command_offset + 1)
        _log.info("owns %s/%d from command %d (epoch %d)", held.category, held.part, begin, row.epoch, extra=told)

    def _lost(self, place: Place, held: HeldPartition, why: str) -> None:
        held.waiting.clear()
        held.generation, held.paused, held.waits_until = -1, True, 0.0
        goes_on(held)
        self._around.standing.pop(place, None)
        self._reader.pause(place)
        metrics.CLAIMS.labels("lost").inc()
        _log.warning("lost %s/%d: %s", held.category, held.part, why, extra=journal.about(place=place))

    def _claim(self, held: HeldPartition, row: ClaimState | None) -> None:
        if row is not None and row.epoch >= LAST_EPOCH:  # forged under rules without a bound
            say_unclaimable(held, events_topic(self._names.prefix, held.category), row.epoch)
            return
        epoch, writer = held.holder.claim(row)
        claim = Claim(writer=writer, epoch=epoch, rules=RULES, claimed_at=utc_now(), host=socket.gethostname())
        failpoint("handler.before-claim")
        self._log.append(held.category, held.part, None, encode_claim(claim))
        failpoint("handler.after-claim")
        metrics.CLAIMS.labels("appended").inc()

    def _work(self) -> None:
        """Decide what waits, a batch of every partition at a time, while the overlays have room."""
        done = set[Place]()
        while heads := self._heads(done):
            if self._around.stopping.is_set():
                return
            reached = self._around.guard.attempt(heads, self._read_and_decide)
            done |= {head.place for head in heads if not self._passed(head, reached[head.place])}
            if self._log.failed():
                self._lose_all()
        for place, held in self._held.items():
            if held.paused and not held.waiting and held.generation >= 0:
                self._resume(place, held)

    def _heads(self, done: Collection[Place]) -> list[Chunk]:
        """The next batch of each partition that can go on now; those for which there is no room come later."""
        heads, commands, now = list[Chunk](), 0, self._around.clock()
        for place, held in self._held.items():
            head = None if place in done or commands >= _MOST_AT_ONCE else held.head(now)
            if head is not None:
                heads.append(head)
                commands += len(head.values)
        return heads

    def _passed(self, head: Chunk, reached: int) -> bool:
        """Drop what was decided from what waits; give whether more of the partition may be decided now."""
        held = self._held[head.place]
        if reached == head.start or not held.waiting:
            return False
        self._stands(head.place, held, reached)
        held.drop_before(reached)
        return True

    def _stands(self, place: Place, held: HeldPartition, reached: int) -> None:
        if held.holder.writer is not None:
            self._around.standing[place] = (held.holder.writer, reached)

    def _resume(self, place: Place, held: HeldPartition) -> None:
        held.paused = False
        self._reader.resume(place)

    def _read_and_decide(self, heads: Sequence[Chunk]) -> dict[Place, int]:
        """Decode and decide in one attempt, so that the guard sees a death in either; gives how far each place came."""
        batches = [self._held[head.place].batch(head) for head in heads]
        with metrics.stage(GROUP, "snapshot"):
            seen = self._tables.snapshots([batch.wanted for batch in batches])
        return {
            head.place: head.start + self._decide_one(head.place, batch, rows)
            for head, batch, rows in zip(heads, batches, seen, strict=True)
        }

    def _decide_one(self, place: Place, batch: Batch, seen: Snapshot) -> int:
        """Decide up to the batch's end, or to a command that needs newer code or a sound log: it is never rejected.

        The commands after it wait, too: a partition is decided in order, and its next owner goes on from one offset.
        Gives the number of decided commands.
        """
        held = self._held[place]
        decided, why = self._decide(place, held, batch, seen)
        if why is not None:
            self._leave_undecided(held, place, batch.commands[decided], why)
        elif decided:
            goes_on(held)
        return decided

    def _leave_undecided(
        self, held: HeldPartition, place: Place, command: Incoming, problem: NewerSchema | LogCorrupt
    ) -> None:
        awaited = "newer code" if isinstance(problem, NewerSchema) else f"a sound log ({problem.code})"
        why = f"the command at {command.offset} of {held.category}/{held.part} waits for {awaited}: {problem.message}"
        held.waits_until = self._around.clock() + _AGAIN_S
        if held.undecided != command.offset:
            held.undecided = command.offset
            _log.warning("handler: %s", why, extra=about_command(place, command, problem))
        waits(held, why)

    def _decide(
        self, place: Place, held: HeldPartition, batch: Batch, seen: Snapshot
    ) -> tuple[int, NewerSchema | LogCorrupt | None]:
        """Decide a batch on one snapshot. Gives how many were decided (0: unusable snapshot), and why not all."""
        if held.holder.observe(seen.row, self._around.clock()) is Change.LOST:
            self._lost(place, held, "its claim does not count")
        if not held.holder.usable(seen.row):
            return 0, None
        decider = self._domains.deciders[held.category]
        refold = partial(self._tables.refold, held.category)
        deciding = Deciding(decider, self._codec, held.holder, seen, refold, partial(self._log.fits, held.category))
        groups: list[tuple[bytes, list[bytes]]] = []
        done = 0
        try:
            with metrics.stage(GROUP, "decide"):
                for key, incoming in zip(batch.wanted.keys, batch.commands, strict=True):
                    if key not in seen.outcomes and not held.holder.has_decided(key):
                        groups.append((incoming.stream.encode(), deciding.records(key, incoming)))
                    done += 1
        except (NewerSchema, LogCorrupt) as problem:
            return done, problem
        except Away:
            raise
        except Exception as problem:
            say_undecidable(place, batch.commands[done], problem)
            raise
        finally:  # whatever stopped it: the overlay counts these records as appended, so they must be
            self._append(held, groups)
            deciding.count()
        return done, None

    def _append(self, held: HeldPartition, groups: list[tuple[bytes, list[bytes]]]) -> None:
        """Append all of a batch at once: if records trickled in, the folds would need a transaction for every few."""
        for stream, values in groups:
            failpoint("handler.before-append")
            for value in values:
                self._log.append(held.category, held.part, stream, value)
                failpoint("handler.within-group")
            failpoint("handler.after-append")

    def _lose_all(self) -> None:
        """Discard the producer with its queue, and every claim made through it."""
        self._log.discard()
        for place, held in self._held.items():
            held.holder.lose(self._around.clock())
            self._lost(place, held, "an append failed")
