"""Finds the record that kills its process, after a few deaths, and sets it aside: nothing is retried forever."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from refold.schemas.catalog import PLATFORM
from refold.schemas.envelope import framed
from refold.schemas.errors import Undecodable
from refold.streams import journal, metrics
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import RecordKills
from refold.streams.guard.attempts import Attempts
from refold.streams.guard.probe import Values
from refold.streams.guard.store import Store
from refold.streams.postgres import set_aside
from refold.streams.postgres.set_aside import Offsets

_log = logging.getLogger(__name__)
Work = Callable[[Sequence[Chunk]], dict[Place, int]]
"""Decodes chunks and runs the domain's code on them; gives the offset reached in each place."""
Find = Callable[[Place, Values], list[int]]
_PLATFORM = frozenset(writer.id for writer in PLATFORM)


class Guard(Protocol):
    """Runs all work that decodes records or calls the domain's code."""

    def attempt(self, chunks: Sequence[Chunk], work: Work) -> dict[Place, int]:
        """Do the work on the chunks, without the records that are set aside."""


class Unguarded:
    """Does the work unguarded: for tests, and for tools whose death somebody sees."""

    def attempt(self, chunks: Sequence[Chunk], work: Work) -> dict[Place, int]:
        return work(chunks)


@dataclass(frozen=True)
class GuardLimits:
    """`deaths`: the n of the ladder in ProcessGuard. `whole`: the most records that can only be worked on together.

    `at_once`: a child decodes the records after the first death already, because somebody waits.
    """

    deaths: int
    whole: int = 1
    at_once: bool = False

    @property
    def before_probing(self) -> int:
        """The number of deaths after which a child decodes the records."""
        return 1 if self.at_once else self.deaths


class ProcessGuard:
    """The guard of a worker: it counts deaths on the same records, and climbs this ladder (n is `GuardLimits.deaths`).

    fewer than n deaths        the records are tried again, together with others
    n deaths (1 if `at_once`)  a child process decodes the records
      the child dies           the records that kill it are set aside
      the child lives          the domain's code is to blame: from n deaths on records are tried one by one,
                               or as few together as can be worked on (at most `whole`)
    n deaths alone             the records tried alone are set aside, except claims and rejections
    """

    def __init__(self, group: str, attempts: Attempts, limits: GuardLimits, find: Find, store: Store) -> None:
        self._group, self._attempts, self._limits = group, attempts, limits
        self._find, self._store = find, store
        self._aside: Offsets = store.load()

    def attempt(self, chunks: Sequence[Chunk], work: Work) -> dict[Place, int]:
        """Raises RecordKills for a record of the platform's own, without which the log has no verdict."""
        if not self._attempts.suspects:
            return self._run_noted(chunks, work)
        self._diagnose_all(chunks)
        reached = {}
        for chunk in [chunk for chunk in chunks if self._is_suspect(chunk)]:
            reached[chunk.place] = self._isolate(chunk, work)
        if rest := [chunk for chunk in chunks if chunk.place not in reached]:
            reached |= self._run_noted(rest, work)
        for chunk in chunks:  # from 0 on: a process may have died after its commit, on records that nobody reads again
            self._attempts.passed(chunk.place, 0, reached.get(chunk.place, chunk.start))
        return reached

    def _run_noted(self, chunks: Sequence[Chunk], work: Work, *, alone: bool = False) -> dict[Place, int]:
        """Do noted work. An exception that ends the process (`sys.exit`, an extension's panic) leaves the note."""
        self._attempts.begin(chunks, alone=alone)
        try:
            reached = work([set_aside.masked(chunk, self._aside) for chunk in chunks])
        except BaseException as problem:
            self._attempts.end(dies=not isinstance(problem, Exception))
            raise
        self._attempts.end()
        return reached

    def _is_suspect(self, chunk: Chunk) -> bool:
        return self._attempts.deaths(chunk) >= self._limits.deaths

    def _diagnose_all(self, chunks: Sequence[Chunk]) -> None:
        """Examine the largest chunks first. A record that is found explains the deaths of all records tried with it."""
        for chunk in sorted(chunks, key=lambda chunk: -len(chunk.values)):
            if self._diagnose(chunk):
                for explained in chunks:
                    self._attempts.passed(explained.place, explained.start, explained.end)
                return

    def _diagnose(self, chunk: Chunk) -> bool:
        """Set aside records that kill their decoder, or that killed when tried alone; give whether there were any."""
        suspect = self._attempts.suspect(chunk)
        if suspect is None or suspect.deaths < self._limits.before_probing:
            return False
        if not suspect.decodes:
            return self._decode(chunk)
        if suspect.alone < self._limits.deaths:
            return False
        rows = range(max(suspect.start, chunk.start) - chunk.start, min(suspect.end, chunk.end) - chunk.start)
        self._set_aside(chunk, [row for row in rows if not _is_the_platforms_own(chunk, row)], set_aside.CODE_KILLS)
        return True

    def _decode(self, chunk: Chunk) -> bool:
        told = journal.about(place=chunk.place, offset=chunk.start)
        _log.warning("%s: processes died on %s/%d from %d on", self._group, *chunk.place, chunk.start, extra=told)
        rows = self._find(chunk.place, set_aside.masked(chunk, self._aside).values)
        for row in rows:
            if _is_the_platforms_own(chunk, row):
                place = f"{chunk.topic}/{chunk.part}"
                raise RecordKills(f"{place}: decoding the record at {chunk.start + row} kills the process")
        if rows:
            self._set_aside(chunk, rows, set_aside.REASON)
        else:
            _log.warning(
                "%s: decoding kills on none of them: after %d deaths they are tried one by one",
                self._group,
                self._limits.deaths,
                extra=told,
            )
            self._attempts.decodes(chunk)
        return bool(rows)

    def _set_aside(self, chunk: Chunk, rows: Sequence[int], reason: str) -> None:
        offsets = [chunk.start + row for row in rows]
        self._aside = self._store.add(chunk.place, offsets, reason)
        metrics.SET_ASIDE.labels(self._group).inc(len(rows))
        for offset in offsets:
            told = journal.about(place=chunk.place, offset=offset, of=offset, code=reason)
            _log.error("%s: set aside (%s): %s/%d [%d]", self._group, reason, *chunk.place, offset, extra=told)

    def _isolate(self, chunk: Chunk, work: Work) -> int:
        """Work on a chunk, on its suspected records one by one and on the rest as usual; give the offset reached."""
        suspect, at = self._attempts.suspect(chunk), chunk.start
        if suspect is not None and suspect.start > at:
            at = self._run_noted([chunk.upto(suspect.start)], work)[chunk.place]
        while at < chunk.end and self._is_suspect(rest := chunk.since(at)):
            reached = self._run_smallest_group(rest, work)
            if reached == at:
                return at
            self._attempts.passed(chunk.place, at, reached)
            at = reached
        return self._run_noted([chunk.since(at)], work)[chunk.place] if at < chunk.end else at

    def _run_smallest_group(self, chunk: Chunk, work: Work) -> int:
        """Try the first record alone, or as few first records as only work together; give the offset reached."""
        for number in range(1, min(self._limits.whole, len(chunk.values)) + 1):
            reached = self._run_noted([chunk.upto(chunk.start + number)], work, alone=True)[chunk.place]
            if reached > chunk.start:
                return reached
        return chunk.start


def _is_the_platforms_own(chunk: Chunk, row: int) -> bool:
    """Whether a record must not be set aside: the rules need a claim's body, and a command's outcome a rejection's."""
    try:
        return framed(chunk.values[row]) in _PLATFORM
    except Undecodable:
        return False
