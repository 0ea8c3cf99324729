"""A decode that kills its process is tried a few times, then the record is found and set aside: nothing is retried for ever."""

import atexit
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from refold.schemas.catalog import CLAIM_WRITER, REJECTION_WRITER
from refold.schemas.envelope import framed
from refold.schemas.errors import Undecodable
from refold.streams import metrics, set_aside
from refold.streams.attempts import Attempts
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import RecordKills
from refold.streams.intake import ChunkFold
from refold.streams.postgres import connect_patiently
from refold.streams.probe import Probe, Values
from refold.streams.set_aside import Offsets
from refold.streams.settings import Settings
from refold.streams.topics import category_of

_log = logging.getLogger(__name__)
Work = Callable[[Sequence[Chunk]], dict[Place, int]]
"""Decodes chunks; says how far it came in each place."""
Find = Callable[[Place, Values], list[int]]
_PLATFORM = frozenset({CLAIM_WRITER.id, REJECTION_WRITER.id})


class Guard(Protocol):
    """Brackets every decode."""

    def attempt(self, chunks: Sequence[Chunk], work: Work) -> dict[Place, int]:
        """Do the work on the chunks, without what is set aside."""


class Unguarded:
    """For tests and tools whose death somebody sees."""

    def attempt(self, chunks: Sequence[Chunk], work: Work) -> dict[Place, int]:
        return work(chunks)


class ProcessGuard:
    """The guard of a worker: after `most` deaths on the same records it looks for the one that kills."""

    def __init__(self, group: str, attempts: Attempts, most: int, find: Find, store: "Store") -> None:
        self._group, self._attempts, self._most = group, attempts, most
        self._find, self._store = find, store
        self._aside: Offsets = store.load()

    def attempt(self, chunks: Sequence[Chunk], work: Work) -> dict[Place, int]:
        """Raises RecordKills for a record of the platform's own, without which the log has no verdict."""
        if self._attempts.suspects:
            for chunk in chunks:
                if self._attempts.deaths(chunk) >= self._most:
                    self._examine(chunk)
        self._attempts.begin(chunks)
        try:
            reached = work([set_aside.masked(chunk, self._aside) for chunk in chunks])
        finally:
            self._attempts.end()
        if self._attempts.suspects:
            for chunk in chunks:
                self._attempts.passed(chunk.place, chunk.start, reached.get(chunk.place, chunk.start))
        return reached

    def _examine(self, chunk: Chunk) -> None:
        _log.warning("%s: %d processes died on %s/%d from %d on", self._group, self._most, *chunk.place, chunk.start)
        rows = self._find(chunk.place, set_aside.masked(chunk, self._aside).values)
        for row in rows:
            _refuse_the_platforms_own(chunk, row)
        if rows:
            offsets = [chunk.start + row for row in rows]
            self._aside = self._store.add(chunk.place, offsets)
            metrics.SET_ASIDE.labels(self._group).inc(len(rows))
            _log.error("%s: set aside, for they kill the decoder: %s/%d %s", self._group, *chunk.place, offsets)
        else:
            _log.warning("%s: no record of them kills by itself: the work goes on", self._group)
        self._attempts.passed(chunk.place, chunk.start, chunk.end)


class Store:
    """The table of records that a group's processes died of."""

    def __init__(self, url: str, group: str) -> None:
        self._url, self._group = url, group

    def load(self) -> Offsets:
        with connect_patiently(self._url, application_name=f"{self._group}-guard") as db:
            return set_aside.load(db, [self._group])

    def add(self, place: Place, offsets: Sequence[int]) -> Offsets:
        """Note records, for every process of the group and those to come; all that are noted."""
        with connect_patiently(self._url, application_name=f"{self._group}-guard") as db:
            set_aside.add(db, self._group, place, offsets)
            return set_aside.load(db, [self._group])


class GuardedFold:
    """A fold whose every batch is an attempt."""

    def __init__(self, fold: ChunkFold, guard: Guard) -> None:
        self._fold, self._guard = fold, guard
        self.group, self.topics = fold.group, fold.topics

    def stored(self, places: Sequence[Place]) -> dict[Place, int]:
        return self._fold.stored(places)

    def apply(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        """Raises what the fold raises, and RecordKills."""
        return self._guard.attempt(chunks, self._fold.apply)

    def reconnect(self) -> None:
        self._fold.reconnect()

    def close(self) -> None:
        self._fold.close()


def process_guard(settings: Settings, group: str) -> Guard:
    """The guard of a worker process; its note is taken away when the process ends in peace."""
    attempts = Attempts(settings.data.absolute() / "attempts", f"{settings.topic_prefix}{group}")
    atexit.register(attempts.close)
    find = partial(_killers, settings)
    return ProcessGuard(group, attempts, settings.decode_attempts, find, Store(settings.dsn(), group))


def _killers(settings: Settings, place: Place, values: Values) -> list[int]:
    topic = place[0]
    return Probe(settings.domains, category_of(settings.topic_prefix, topic), topic.endswith(".events")).killers(values)


def _refuse_the_platforms_own(chunk: Chunk, row: int) -> None:
    """A claim is what the rules are made of, and a rejection's words are its command's outcome: neither can do without its body."""
    try:
        number = framed(chunk.values[row])
    except Undecodable:
        return
    if number in _PLATFORM:
        raise RecordKills(f"{chunk.topic}/{chunk.part}: decoding the record at {chunk.start + row} kills the process")
