"""Watches one model for all who subscribed to it: reads the log up to the model's position, and sends the changed rows.

Invariant: whoever folds a stream over the rows of its beginning has, at each id, exactly the rows of that position. For
a batch from P to Q holds the rows, read in one snapshot of the database in which the model stands at Q, of all keys
that the events between P and Q touch; no other row can differ, as long as the moment at Q `follows` the one at P.
Where it does not, or the keys are not known, clients get a `reset`, never silence.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psycopg

from refold.api.http.changes import batches
from refold.api.http.changes.cohorts import Cohort, Start, merged
from refold.api.http.changes.key_reader import KeyReader, KeysUnknown, Positions, StretchLimits
from refold.api.http.changes.moment import Moment, Snapshot, limits_of, moment
from refold.api.http.changes.recent_keys import MOST_KEPT, RecentKeys
from refold.api.http.changes.selection import Selection
from refold.api.http.changes.subscriber import Subscriber
from refold.api.http.reads.services import Fetch
from refold.projections.tables.serving import ServedModel
from refold.projections.tables.view_swap import hold
from refold.schemas.errors import RefoldError
from refold.streams.chunk import Place
from refold.streams.errors import LogRefused
from refold.streams.journal import about
from refold.streams.refusals import first_line, is_away

COALESCE_S = 0.05
"""Seconds between two batches at least: several changes of a row within them are one."""
_AGAIN_S = 0.5
_NEAR = 5_000
"""Most records that are read while a snapshot is open."""
OTHER_CODE = "declaration-other"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watched:
    """What a watch needs of the process: the model, the database, the log, and when the model may have moved."""

    model: ServedModel
    fingerprint: str
    prefix: str
    snapshot: Snapshot
    reader: Callable[[], KeyReader]
    moved: Callable[[int], Awaitable[int]]
    """Returns once a model was written after the given number of commits, or after a second: the number now."""
    told: Callable[[Place], int | None]
    """The offset that the last notice of a place named, if there was one."""


class _Again(Exception):
    """A statement failed and its cohort has ended; the others' batches are made again."""


class Watch:
    """One task of one event loop."""

    def __init__(self, watched: Watched) -> None:
        self._of = watched
        self._cohorts: list[Cohort] = []
        self._recent: RecentKeys | None = None
        self._before: Moment | None = None
        self._lost: str | None = None
        self._joined = asyncio.Event()
        self._reader = watched.reader()
        self.is_over = False

    def add(self, subscriber: Subscriber, selection: Selection, start: Start) -> None:
        """From the next step on the subscriber gets changes."""
        since = start.since
        at = None if since is None else {(f"{self._of.prefix}{t}", p): n for (t, p), n in since.positions.items()}
        mark = None if since is None else since.mark
        self._cohorts.append(Cohort(selection, start.rows, at, mark, [subscriber]))
        self._joined.set()

    @property
    def subscribers(self) -> list[Subscriber]:
        """The subscribers whose stream goes on."""
        return [one for cohort in self._cohorts for one in cohort.subscribers if one.ended is None]

    async def run(self) -> None:
        """Work until no subscriber is left."""
        try:
            commits = await self._of.moved(-1)
            while self.subscribers:
                self._joined.clear()
                await asyncio.sleep(await self._safely())
                commits = await self._next(commits)
        finally:
            self.is_over = True  # before anything is awaited: nobody joins a watch that has ended
            await asyncio.to_thread(self._reader.close)

    async def _safely(self) -> float:
        """One step; returns the seconds until the next. A server that is away ends no stream; a fault of ours is told."""
        try:
            await self._step()
        except _Again:
            return 0.0
        except (LogRefused, KeysUnknown) as problem:
            said = about(code=problem.code, of=self._of.model.name)
            _log.warning("changes of %s: clients read again: %s", self._of.model.name, first_line(problem), extra=said)
            self._lost, self._recent = problem.code, None
        except RefoldError as problem:
            said = about(problem, of=self._of.model.name, repeats=True)
            _log.info("changes of %s wait: %s", self._of.model.name, first_line(problem), extra=said)
            return _AGAIN_S
        except Exception as problem:
            _log.exception("changes of %s cannot be told", self._of.model.name)
            self._end_all("internal-error", f"the changes cannot be told: {first_line(problem)}")
            return _AGAIN_S
        return COALESCE_S

    async def _next(self, commits: int) -> int:
        """Wait until the model may have moved, or somebody has joined."""
        joined = asyncio.ensure_future(self._joined.wait())
        try:
            while not joined.done():
                moving = asyncio.ensure_future(self._of.moved(commits))
                await asyncio.wait({moving, joined}, return_when=asyncio.FIRST_COMPLETED)
                if not moving.done():
                    moving.cancel()
                    break
                before, commits = commits, moving.result()
                if commits == before or self._may_have_moved():
                    break
        finally:
            joined.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await joined
        return commits

    def _may_have_moved(self) -> bool:
        recent = self._recent
        if recent is None:
            return True
        return any((told := self._of.told(place)) is None or told > at for place, at in recent.upto.items())

    async def _step(self) -> None:
        """Send each cohort what changed for it. What lies far back in the log is read first, outside of any snapshot."""
        while True:
            async with self._of.snapshot() as fetch:
                await fetch(hold(self._of.model.domain, self._of.model.name), ())
                now = await moment(fetch, self._of.model, self._of.prefix)
                if now is None:
                    return  # no table serves: it is being built again, and clients wait
                if now.fingerprint != self._of.fingerprint:
                    self._end_all(OTHER_CODE, "the table that serves is of other code than this process; connect again")
                    return
                recent = self._recent = self._recent or RecentKeys(now.positions)
                older = self._older(recent)
                ends = await self._ends(now)
                start, end = older or recent.unread(now.positions)
                limits = await limits_of(fetch, start, end, now.parked)
                if not older and sum(end[place] - start[place] for place in end) <= _NEAR:
                    await self._read(recent, start, end, limits)
                    await self._tell(fetch, now, recent, ends)
                    return
            await (self._read_back if older else self._read)(recent, start, end, limits)

    def _older(self, recent: RecentKeys) -> tuple[Positions, Positions] | None:
        """The stretch before the kept keys that some cohort needs; none for those who are too far behind."""
        behind = [cohort.at for cohort in self._cohorts if cohort.at is not None and not recent.reaches(cohort.at)]
        near = [at for at in behind if recent.missing(at) <= MOST_KEPT - recent.kept()]
        if not near or self._lost:
            return None
        start = {place: min([at.get(place, 0) for at in near] + [since]) for place, since in recent.since.items()}
        if recent.missing(start) > MOST_KEPT:
            start = {place: min(near[0].get(place, 0), since) for place, since in recent.since.items()}
        return start, dict(recent.since)

    async def _ends(self, now: Moment) -> Positions:
        """The ends of the log, if a new cohort is ahead of the model: it waits for what the log has, and for no more."""
        ahead = [
            cohort
            for cohort in self._cohorts
            if cohort.is_new
            and cohort.at is not None
            and any(at > now.positions.get(p, 0) for p, at in cohort.at.items())
        ]
        return await asyncio.to_thread(self._reader.ends, now.positions) if ahead else {}

    async def _read(self, recent: RecentKeys, start: Positions, end: Positions, limits: StretchLimits) -> None:
        if any(start[place] < end[place] for place in end):
            recent.append(await asyncio.to_thread(self._reader.read, start, end, limits), end)

    async def _read_back(self, recent: RecentKeys, start: Positions, end: Positions, limits: StretchLimits) -> None:
        reader = self._of.reader()
        try:
            recent.prepend(await asyncio.to_thread(reader.read, start, end, limits), start)
        finally:
            await asyncio.to_thread(reader.close)

    async def _tell(self, fetch: Fetch, now: Moment, recent: RecentKeys, ends: Positions) -> None:
        """Each cohort's batch; then those who stand at one place are one cohort."""
        for cohort in self._cohorts:
            try:
                await batches.tell(
                    fetch, cohort, now, recent, self._reset_of(cohort, now, recent, ends), self._of.prefix
                )
            except psycopg.Error as problem:
                timeout = isinstance(problem, psycopg.errors.QueryCanceled)
                if is_away(problem) and not timeout:
                    raise
                cohort.end("query-timeout" if timeout else "query-failed", first_line(problem))
                self._cohorts = merged(self._cohorts)
                raise _Again from None
        self._before, self._lost = now, None
        self._cohorts = merged(self._cohorts)

    def _reset_of(self, cohort: Cohort, now: Moment, recent: RecentKeys, ends: Positions) -> str | None:
        """Why what a cohort has is of no use; None if it is."""
        if cohort.at is None:
            return None
        if cohort.mark not in {None, now.mark}:
            before = self._before
            if before is None or cohort.mark != before.mark or not now.follows(before):
                return "table-changed"
        if self._lost is not None:
            return self._lost
        if any(cohort.at.get(place, 0) > end for place, end in ends.items()):
            return "position-unknown"
        return None if recent.reaches(cohort.at) else "too-far-behind"

    def _end_all(self, code: str, message: str) -> None:
        for cohort in self._cohorts:
            cohort.end(code, message)
