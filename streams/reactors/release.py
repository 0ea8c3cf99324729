"""Releases a parked stream of a reactor: answers its waiting events in order, sends, and only then removes the park.

Invariant: as in the fold, a park moves only after all commands of the events before it were acknowledged; a repeat
has no effect. A live reactor that passed over events meanwhile finds its park gone, and reads them again
(`store.write`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from refold.schemas.codec import Codec
from refold.streams.chunk import Chunk
from refold.streams.core.limits import group_positions
from refold.streams.domain import Domains
from refold.streams.errors import StillUnreadable
from refold.streams.log.history import NEWEST, PAGE_BYTES, History
from refold.streams.log.topics import events_topic
from refold.streams.postgres import set_aside
from refold.streams.postgres.connection import Database
from refold.streams.reactors import store
from refold.streams.reactors.arrived import Arrived, Readers, arrived
from refold.streams.reactors.fold import GROUP
from refold.streams.reactors.reacting import Answers, Parked, Reacting, ReactorStream
from refold.streams.reactors.reactor import Reactor
from refold.streams.reactors.sender import Sender
from refold.streams.sending.command_record import Addressed


@dataclass(frozen=True)
class Waited:
    """A stream's removed park for a reactor, and the number of events that waited."""

    category: str
    stream: str
    reactor: str
    code: str
    events: int


@dataclass(frozen=True)
class Step:
    """The result of some waiting events. `done`: number answered. `next`: offset after them. `left`: the failed one."""

    answers: Answers
    done: int
    next: int
    left: Parked | None


class Release:
    """Releases parked streams. One connection, one thread; the caller closes what it hands in."""

    def __init__(self, db: Database, prefix: str, domains: Domains, history: History, sender: Sender) -> None:
        self._db, self._prefix, self._history, self._sender = db, prefix, history, sender
        self._domains, self._codec = domains, Codec(domains.catalog)
        self._addressed = Addressed(prefix, domains.catalog)

    def release(self, category: str, stream: str, reactors: Sequence[Reactor]) -> list[Waited]:
        """Answer a stream's waiting events, for all reactors it waits for. Raises StillUnreadable, KafkaUnavailable."""
        declared = {reactor.name: reactor for reactor in reactors}
        done = []
        for name, code in store.parks_of(self._db, category, stream):
            if name not in declared:
                raise StillUnreadable(f"{category} {stream}: this code has no reactor {name}")
            done.append(Waited(category, stream, name, code, self._drain(declared[name], stream)))
        return done

    def _drain(self, reactor: Reactor, stream: str) -> int:
        """Answer waiting events until none is left, as many at a time as memory allows; give their number."""
        key, answered = (reactor.name, stream), 0
        while (first := store.parked(self._db).get(key)) is not None:
            places = self._waiting(reactor.category.name, stream, first)
            values = self._history.values(reactor.category.name, places, PAGE_BYTES) if places else []
            events = self._arrived(reactor, places, values)
            answers = self._answers(reactor, key, events)
            self._sender.send(answers.records)
            left = answers.parked.get(key)
            done = sum(left is None or event.offset < left.first_offset for event in events)
            last = places[len(values) - 1][1] if places else first
            if self._commit(reactor, key, first, Step(answers, done, last + 1, left)):
                answered += done
                if left is not None:
                    raise StillUnreadable(f"{stream} waits for {reactor.name} at {left.first_offset}: {left.reason}")
        return answered

    def _waiting(self, category: str, stream: str, first: int) -> list[tuple[int, int]]:
        """(partition, offset) of events from `first` on that the reactors have passed; they read others themselves."""
        places = History.offsets(self._db, category, stream, after=0, upto=NEWEST)
        stands = group_positions(self._db, GROUP)
        topic = events_topic(self._prefix, category)
        return [(part, at) for part, at in places if first <= at < stands.get((topic, part), 0)]

    def _arrived(self, reactor: Reactor, places: list[tuple[int, int]], values: list[bytes | None]) -> list[Arrived]:
        """Read events without the guard, even those set aside: whoever releases them says that they can be read."""
        category = reactor.category.name
        readers, topic = Readers(self._domains.catalog, category, (reactor,)), events_topic(self._prefix, category)
        return [
            event
            for (part, offset), value in zip(places, values, strict=False)
            for event in arrived(self._codec, readers, Chunk(topic, part, offset, [value]), ())
        ]

    def _answers(self, reactor: Reactor, key: ReactorStream, events: Sequence[Arrived]) -> Answers:
        stored = store.states(self._db, [key]) if reactor.remembers else {}
        reacting = Reacting(self._addressed, stored, {}, self._recall)
        for event in events:
            reacting.take(event)
        return reacting.answers()

    def _recall(self, reactor: Reactor, stream: str, version: int) -> Any:
        """Fold a state from the log, as ReactorsFold does."""
        category, state = reactor.category.name, reactor.initial
        places = History.offsets(self._db, category, stream, after=0, upto=version)
        while places:
            page = self._history.read(category, places)
            state = reactor.fold([recorded.event for recorded in page], state)
            places = [place for place in places if place[1] > page[-1].offset]
        return state

    def _commit(self, reactor: Reactor, key: ReactorStream, first: int, step: Step) -> bool:
        """Move the park after the step, or remove it if nothing waits. False if another process moved the park."""
        category, topic = reactor.category.name, events_topic(self._prefix, reactor.category.name)
        with self._db.transaction():
            store.hold(self._db, topic)
            if store.parked(self._db).get(key) != first:
                return False
            store.write_states(self._db, step.answers.states)
            rest = self._waiting(category, key[1], step.next)
            if step.left is not None:
                store.move_park(self._db, key, step.left, step.done)
            elif rest:
                store.move_park(self._db, key, rest[0][1], step.done)
            else:
                store.unpark(self._db, key)
                set_aside.forget(self._db, topic, category, key[1])
        return True
