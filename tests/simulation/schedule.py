"""Runs one schedule: commands, handlers, folds and faults in an order drawn from a seed; then calm, and rest.

At rest every command has exactly one outcome (I2), and the first body has won. The whole log, folded again in other
chunks, gives the same tables, with every outcome that was ever shown (I4, I6).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from threading import Event
from typing import Any

from refold.schemas.identity import body_hash, outcome_key
from refold.schemas.meta import CommandMeta, Meta
from refold.streams.handler.decide import Incoming, decide
from refold.streams.handler.handler import Handler, Names, Surroundings
from refold.streams.worker.intake import Intake
from tests.simulation.domain import DECIDER, DOMAINS
from tests.simulation.folds import SimulatedCore, SimulatedModels
from tests.simulation.forged import Outsiders
from tests.simulation.reference import Violation
from tests.simulation.sent import Sent, commands
from tests.simulation.world import (
    CODEC,
    COMMANDS,
    EVENTS,
    NAME,
    Postgres,
    SimulatedLog,
    SimulatedReader,
    SimulatedTables,
    World,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REST_STEPS = 3000
Move = tuple[str, Callable[[], object]]


@dataclass
class HandlerSite:
    """A handler process: its memory, its producer, and what it believes to own."""

    handler: Handler
    log: SimulatedLog
    reader: SimulatedReader


@dataclass
class FoldSite:
    """A core or models process."""

    intake: Intake
    reader: SimulatedReader


@dataclass
class Schedule:
    """A run of one seed. `steps` and `faults` count what happened."""

    seed: int
    ban: Sequence[str] = ()
    limit: int = 1000
    steps: int = 0
    faults: int = 0
    trace: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.world = World(self.rng, self._redecide)
        self.world.interrupt = self._meanwhile
        self.idempotent = self.rng.random() < 0.4
        self.sent = commands(self.rng)
        self.outsiders = Outsiders(self.world, self.rng)
        self.by_offset = list[Sent]()
        self.handlers = [self._handler() for _ in range(self.rng.choice((2, 2, 3)))]
        self.cores = [self._core() for _ in range(2)]
        self.models = [self._model() for _ in range(2)]
        self.handlers[0].reader.assign(None)
        self.budget = self.rng.choice((0, 1, 3, 6))
        self._busy = False

    def run(self) -> None:
        """Trouble, then calm. Raises Violation."""
        chance = self.rng.choice((0.03, 0.1, 0.25))
        for _ in range(min(self.rng.randint(20, 120), self.limit)):
            if self.budget and self.rng.random() < chance:
                self.budget -= 1
                self.faults += 1
                self._do(self.rng.choice(self._faults()))
            else:
                self._do(self.rng.choice(self._moves()))
        self._come_to_rest()
        self._check_rest()

    def _do(self, move: Move) -> None:
        self.steps += 1
        self.trace.append(move[0])
        move[1]()

    def _moves(self) -> list[Move]:
        moves: list[Move] = [("tick", self._tick)]
        if len(self.by_offset) < len(self.sent):
            moves += [("command", self._send)] * 2
        for i, site in enumerate(self.handlers):
            if site.reader.assigned:
                moves += [(f"h{i} works", partial(self._work, site))] * 2
            elif self.rng.random() < 0.1:
                moves.append((f"h{i} believes", partial(site.reader.assign, None)))
            if site.log.queue:
                moves += [(f"h{i} lands", partial(self._land, site))] * 2
        return [*moves, *self.outsiders.moves(), *self._core_moves(), *self._models_moves()]

    def _core_moves(self) -> list[Move]:
        moves: list[Move] = []
        for j, site in enumerate(self.cores):
            if site.reader.assigned:
                moves += [(f"c{j} folds", partial(self._fold, site)), (f"c{j} looks", site.intake.check)]
            else:
                moves.append((f"c{j} starts", partial(self._start, site)))
        return moves

    def _models_moves(self) -> list[Move]:
        moves: list[Move] = []
        for k, site in enumerate(self.models):
            if site.reader.assigned:
                moves.append((f"m{k} folds", partial(self._fold, site)))
                moves += [(f"m{k} looks", site.intake.check)] if self.rng.random() < 0.3 else []
            else:
                moves.append((f"m{k} starts", partial(self._start_models, site)))
        return moves

    def _faults(self) -> list[Move]:
        faults: list[Move] = [*[("restore", self.world.restore)] * 4, ("postgres away", self._go_away)]
        for i, site in enumerate(self.handlers):
            faults += [(f"h{i} crashes", partial(self._crash, i)), (f"h{i} loses the partition", site.reader.revoke)]
            faults += [(f"h{i} {kind}", partial(site.log.fault, kind)) for kind in site.log.faults()]
        for letter, sites, make in (("c", self.cores, self._core), ("m", self.models, self._model)):
            faults += [(f"{letter}{k} crashes", partial(self._crash_fold, sites, k, make)) for k in range(len(sites))]
            faults += [(f"{letter}{k} loses the partition", site.reader.revoke) for k, site in enumerate(sites)]
        faults += self.outsiders.faults()
        faults += [("late record", self._land_late)] * 3 if self.world.late else []
        return [fault for fault in faults if fault[0] not in self.ban]

    def _meanwhile(self) -> None:
        """Between a handler's read and what it does with it, the rest of the world goes on."""
        if self._busy:
            return
        self._busy = True
        while self.rng.random() < 0.3:
            lands: list[Move] = [("meanwhile lands", partial(s.log.land, 1)) for s in self.handlers if s.log.queue]
            self._do(self.rng.choice([*self._core_moves(), *lands]))
        self._busy = False

    def _land(self, site: HandlerSite) -> None:
        site.log.land(self.rng.choice((1, 1, 2, 9)))

    def _fold(self, site: FoldSite) -> None:
        site.intake.take(site.reader.read(self.rng.choice((1, 2, 99))))

    def _start(self, site: FoldSite) -> None:
        site.reader.assign(self.world.postgres.position)

    def _go_away(self) -> None:
        self.world.away = self.rng.randint(1, 3)

    @staticmethod
    def _crash_fold(sites: list[FoldSite], number: int, make: Callable[[], FoldSite]) -> None:
        sites[number] = make()

    def _start_models(self, site: FoldSite) -> None:
        site.reader.assign(self.world.postgres.models_at)

    def _tick(self) -> None:
        self.world.now += self.rng.choice((0.1, 1.0, 5.0))

    def _send(self) -> None:
        sent = self.sent[len(self.by_offset)]
        self.by_offset.append(sent)
        meta = CommandMeta(
            command_id=sent.command_id,
            category=NAME,
            stream=sent.command.stream,
            occurred_at=NOW,
            expected_version=sent.expected,
        )
        self.world.commands.append((sent.command.stream.encode(), CODEC.command(meta, sent.command)))

    def _work(self, site: HandlerSite) -> None:
        chunks = site.reader.read(self.rng.choice((1, 2, 99)))
        if chunks:
            site.handler.take(chunks)
        else:
            site.handler.wake()

    def _land_late(self) -> None:
        self.world.land(self.world.late.pop(self.rng.randrange(len(self.world.late))))

    def _crash(self, number: int) -> None:
        site = self.handlers[number]
        self.world.late += site.log.queue
        assigned = site.reader.assigned
        self.handlers[number] = self._handler()
        if assigned and self.rng.random() < 0.5:
            self.handlers[number].reader.assign(None)

    def _handler(self) -> HandlerSite:
        log = SimulatedLog(self.world, idempotent=self.idempotent)
        reader = SimulatedReader(COMMANDS, lambda: [(key, value) for key, value in self.world.commands])
        around = Surroundings(_Never(), lambda: self.world.now, self.rng)
        return HandlerSite(
            Handler(SimulatedTables(self.world), log, reader, DOMAINS, Names("", 1), around), log, reader
        )

    def _core(self) -> FoldSite:
        reader = SimulatedReader(EVENTS, lambda: [(None, value) for value in self.world.values])
        return FoldSite(Intake(SimulatedCore(self.world), reader, 1000, _Never()), reader)

    def _model(self) -> FoldSite:
        reader = SimulatedReader(EVENTS, lambda: [(None, value) for value in self.world.values])
        return FoldSite(Intake(SimulatedModels(self.world), reader, 1000, _Never()), reader)

    def _redecide(self, first: Meta, state: Any, version: int) -> tuple[Any, ...] | None:
        sent = self.by_offset[first.command_offset]
        incoming = Incoming(
            "Add",
            sent.command,
            sent.command_id.bytes,
            b"",
            sent.command.stream,
            first.command_offset,
            NOW,
            sent.expected,
        )
        decided = decide(DECIDER, incoming, state, version)
        return None if decided.rejection else decided.events

    def _come_to_rest(self) -> None:
        """No more faults; one handler keeps the partition, or two believe in it for ever."""
        self.world.away = 0
        keep = self.rng.randrange(len(self.handlers))
        both = self.rng.random() < 0.2
        for i, site in enumerate(self.handlers):
            if i == keep or (both and site.reader.assigned):
                site.reader.assign(None) if not site.reader.assigned else None
            else:
                site.reader.revoke()
                self.world.late += site.log.queue
                site.log.queue = []
        for _ in range(REST_STEPS):
            if self._rests():
                return
            if self.world.late and self.rng.random() < 0.05:
                self._land_late()
            else:
                self._do(self.rng.choice([move for move in self._moves() if "believes" not in move[0]]))
        missing = len(self.sent) - len(self.world.postgres.outcomes)
        raise Violation(
            f"I8: no rest after {REST_STEPS} steps; {missing} of {len(self.sent)} commands (repeats included) lack an outcome"
        )

    def _rests(self) -> bool:
        keys = {outcome_key(NAME, s.command.stream, s.command_id.bytes) for s in self.sent}
        done = len(self.by_offset) == len(self.sent) and keys <= self.world.postgres.outcomes.keys()
        models_follow = self.world.postgres.models_at == self.world.postgres.position
        return done and models_follow and self.world.postgres.outcomes.keys() == self._outcomes_in_the_log()

    def _outcomes_in_the_log(self) -> set[bytes]:
        return {outcome_key(NAME, stream, command.bytes) for stream, command in self.world.reference[-1].outcomes}

    def _check_rest(self) -> None:
        while self.world.late:
            self._land_late()
        first_bodies: dict[bytes, bytes] = {}
        for sent in self.by_offset:
            first_bodies.setdefault(
                outcome_key(NAME, sent.command.stream, sent.command_id.bytes), body_hash(sent.command)
            )
        for key, effect in self.world.postgres.outcomes.items():
            if first_bodies[key] != effect.body:
                raise Violation("I2: a later body of a command id has won")
        self.world.postgres, self.world.restored = Postgres(), True
        for site in (self._core(), self._model()):
            site.reader.assign(0)
            while chunks := site.reader.read(self.rng.randint(1, 4)):
                site.intake.take(chunks)
        if self.world.postgres.models_at != self.world.postgres.position:
            raise Violation("I9: the models do not come to where the core stands")
        if self.world.shown.keys() - self.world.postgres.outcomes.keys():
            raise Violation("I4: an outcome that was shown did not come back")


class _Never(Event):
    """Nobody stops a simulation, and nobody sleeps in it."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return False
