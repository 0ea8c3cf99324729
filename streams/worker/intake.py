"""Keeps chunks that are read and not folded yet, offers them to the fold in order, and drops those of no use."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event

import psycopg

from refold.streams import journal, metrics
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import Lost, Unreachable
from refold.streams.refusals import first_line, may_pass, refusal_of
from refold.streams.standing import goes_on, waits
from refold.streams.worker.fold_place import FoldPlace
from refold.streams.worker.ports import ChunkFold, Reader

_log = logging.getLogger(__name__)
_RETRY_S = 0.2
STUCK_SEEK_S, STUCK_EXIT_S = 10.0, 30.0
_BETWEEN_LOOKS_S = 2.0
"""Longest gap between checks, in seconds, that counts as standing still: in a longer one this thread was busy."""


class Intake:
    """Feeds one fold. One thread uses it; every method may block while Postgres is away."""

    def __init__(self, fold: ChunkFold, reader: Reader, most_kept: int, stopping: Event) -> None:
        self._fold, self._reader, self._most, self._stopping = fold, reader, most_kept, stopping
        self._places: dict[Place, FoldPlace] = {}
        self._looked = time.monotonic()

    def take(self, chunks: Sequence[Chunk]) -> None:
        """Add the chunks to those that wait, and fold."""
        self.keep(chunks)
        self.fold()

    def keep(self, chunks: Sequence[Chunk]) -> None:
        """Add the chunks to those that wait for their places."""
        for chunk in chunks:
            if self._reader.is_current(chunk):
                self._keep(chunk)

    def keeps_any(self) -> bool:
        """Whether any chunk waits. Any thread may ask."""
        return any(at.kept is not None for at in list(self._places.values()))

    def positions(self) -> dict[Place, int]:
        """The position of each place, as far as it is known. Any thread may ask."""
        return {place: at.reached for place, at in list(self._places.items()) if at.reached is not None}

    def starts(self) -> dict[Place, int]:
        """The first waiting offset of each place at which something waits."""
        return {chunk.place: chunk.start for chunk in self._waiting()}

    def fold(self) -> None:
        """Offer all waiting chunks, until they are folded as far as they can be now."""
        self._forget_the_foreign()
        while (waiting := self._waiting()) and not self._stopping.is_set():
            try:
                reached = self._fold.apply(waiting)
            except Lost as lost:
                metrics.CONFLICTS.labels(self._fold.group).inc(len(lost.places))
                self._realign_all(lost.places)
            except (psycopg.Error, Unreachable) as problem:
                self._reconnect(problem)
            else:
                goes_on(self)
                self._settle(reached)
                return

    def check(self) -> None:
        """Look each second for positions moved by others (a restore, another worker), and places that stand still."""
        self._forget_the_foreign()
        quiet = [place for place in self._reader.places() if self._at(place).kept is None]
        if quiet:
            self._when_back(lambda: self._compare(self._fold.stored(quiet)))
        self._watch(quiet)

    def _at(self, place: Place) -> FoldPlace:
        return self._places.setdefault(place, FoldPlace(since=time.monotonic()))

    def _waiting(self) -> list[Chunk]:
        return [at.kept for at in self._places.values() if at.kept is not None]

    def _keep(self, chunk: Chunk) -> None:
        at = self._at(chunk.place)
        if not at.keep(chunk):
            assert at.kept is not None
            self._seek(chunk.place, at.kept.start, "gap")

    def _settle(self, reached: dict[Place, int]) -> None:
        now = time.monotonic()
        for place, position in reached.items():
            pause = self._places[place].settle(position, now, self._most)
            if pause is not None:
                (self._reader.pause if pause else self._reader.resume)(place)

    def _realign_all(self, places: Sequence[Place]) -> None:
        for place in places:
            self._when_back(partial(self._realign, place))

    def _realign(self, place: Place) -> None:
        """Go on from the stored position if it lies in what waits (our commit's answer was lost); else seek it."""
        stored = self._fold.stored([place])[place]
        if self._at(place).holds(stored):
            self._settle({place: stored})
        else:
            self._seek(place, stored, "conflict")

    def _compare(self, stored: dict[Place, int]) -> None:
        for place, position in stored.items():
            at = self._at(place)
            # Until something is folded, compare the reader's start: it may have been read before a restore.
            if (self._reader.position(place) if at.reached is None else at.reached) != position:
                self._seek(place, position, "moved")
            elif at.reached is None:
                at.reached, at.since = position, time.monotonic()

    def _watch(self, quiet: Sequence[Place]) -> None:
        """A place before the log's end, at which nothing waits, must move: seek it again, or die and be restarted."""
        now, passed = self._awake()
        for place in quiet:
            end, at = self._reader.end(place), self._at(place)
            stood = now - at.since
            if end is None or at.reached is None or end <= at.reached:
                at.since = now
            elif stood > STUCK_EXIT_S:
                raise SystemExit(f"{place} stands at {at.reached} of {end} for {STUCK_EXIT_S:.0f} s")
            elif stood >= STUCK_SEEK_S and stood // STUCK_SEEK_S > (stood - passed) // STUCK_SEEK_S:
                self._reader.seek(place, at.reached)
                metrics.RESEEKS.labels(self._fold.group, "stuck").inc()

    def _awake(self) -> tuple[float, float]:
        """The time now, and the seconds that count since the last look: no place stands still while nobody looks."""
        now = time.monotonic()
        gap, self._looked = now - self._looked, now
        if (blind := gap - _BETWEEN_LOOKS_S) > 0:
            for at in self._places.values():
                at.since = min(at.since + blind, now)
        return now, min(gap, _BETWEEN_LOOKS_S)

    def _seek(self, place: Place, at: int, cause: str) -> None:
        told = journal.about(place=place, offset=at, repeats=True)
        _log.info("%s: %s/%s again from %d (%s)", self._fold.group, *place, at, cause, extra=told)
        metrics.RESEEKS.labels(self._fold.group, cause).inc()
        self._at(place).move(at, time.monotonic())
        self._reader.seek(place, at)

    def _forget_the_foreign(self) -> None:
        """Drop places that are no longer ours, and chunks that were read before a seek."""
        ours = set(self._reader.places())
        for chunk in self._waiting():
            if not self._reader.is_current(chunk):
                self._places[chunk.place].drop()
        for place in self._places.keys() - ours:
            del self._places[place]

    def _when_back(self, ask: Callable[[], object]) -> None:
        while not self._stopping.is_set():
            try:
                ask()
            except (psycopg.Error, Unreachable) as problem:
                self._reconnect(problem)
            else:
                goes_on(self)
                return

    def _reconnect(self, problem: psycopg.Error | Unreachable) -> None:
        """Wait for a server that is away or refuses for now. Raises DatabaseRefused or `problem` if that is useless."""
        if isinstance(problem, psycopg.Error) and not may_pass(problem):
            raise refusal_of(problem) or problem
        if waits(self, first_line(problem)):
            _log.warning(
                "%s: waiting for a server: %s", self._fold.group, first_line(problem), extra=journal.about(problem)
            )
        self._stopping.wait(_RETRY_S)
        if not self._stopping.is_set() and isinstance(problem, psycopg.Error):
            self._fold.reconnect()
