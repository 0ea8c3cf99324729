"""Adds decoded batches of the log to builds, and flushes their rows with positions; `fold_log` brings the batches."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from refold.projections.errors import ModelFailed
from refold.projections.live import parking
from refold.projections.live.member import detaching
from refold.projections.partials.batch import Park
from refold.projections.replay.decoding import Decoding, Prepared
from refold.projections.replay.finishing import finishing
from refold.projections.replay.memory import ROOM
from refold.projections.replay.part import Part, part_of
from refold.projections.replay.staging import Staging
from refold.streams.chunk import Chunk, Place
from refold.streams.failpoints import failpoint
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database

FLUSH_S = 30.0
APPEND_ROWS = 150_000
"""Rows of an event table in memory, beyond which they are written while the log is read on: they merge with none, so waiting gains nothing."""
AHEAD = 2
"""Batches that are prepared while another one is added."""

Progress = Callable[[int, int], None]
"""Called with how many records are done, and of how many."""


class Target(Protocol):
    """Takes batches of the log: one thread prepares them, another adds them, both in the log's order."""

    def prepare(self, chunks: Sequence[Chunk]) -> Prepared: ...
    def add(self, prepared: Prepared) -> None: ...
    def flush(self) -> None: ...


class Builder:
    """Adds decoded chunks to builds that stand at the same positions. Used by one thread at a time."""

    def __init__(
        self,
        db: Database,
        decoding: Decoding,
        staged: Sequence[Staging],
        position: Mapping[Place, int],
        *,
        counts_waiting: bool = False,
        parks_alone: bool = False,
    ) -> None:
        """`room`, which may be set: bytes of rows in memory, beyond which they are flushed.

        `appends_ahead`, which may be set: event tables may stand further than other builds.

        `one_by_one`, which may be set: only one table gets its key at a time.

        `hold`, which may be set while other commands write to the same builds: called within each flush, before rows are
        written, with the positions of the flush before. It locks them, and raises Lost if they have moved. A build that
        fails is not left out then, since the others' positions would part from its own.

        `counts_waiting`: count the events that wait, since no live table has counted them.

        `parks_alone`: a stream that this code cannot read waits for these builds alone, not for the live tables.
        """
        self._db, self._decoding, self._counts_waiting = db, decoding, counts_waiting
        self._parks_alone = parks_alone
        self.room, self.one_by_one, self.appends_ahead = ROOM, False, False
        self.hold: Callable[[Mapping[Place, int]], None] | None = None
        self.staged = list(staged)
        self.failed: list[tuple[Staging, ModelFailed]] = []
        self.position = dict(position)
        self.flushed = dict(position)
        self._began = sum(self.position.values())
        self.events = self._flushed_events = 0
        self.fell_back = 0
        self._parks: list[Park] = []
        self._waiting = Counter[tuple[str, str]]()
        self._flushed = time.monotonic()
        self._whole = True

    @property
    def read(self) -> int:
        """Number of records since this process began."""
        return sum(self.position.values()) - self._began

    def ahead(self) -> int:
        """Batches that may be prepared ahead of the one being added; 0 while a death must name its record."""
        return 0 if any(staging.wary for staging in self.staged) else AHEAD

    def each(self, step: Callable[[Staging], None]) -> None:
        """Do a step for each build, and leave out one whose declaration or data fails.

        Raises ModelFailed if none is left.
        """
        for staging in list(self.staged):
            try:
                with detaching(staging.build, staging.layout):
                    step(staging)
            except ModelFailed as problem:
                if self.hold is not None:
                    raise
                self.leave_out(staging, problem)

    def leave_out(self, staging: Staging, problem: ModelFailed) -> None:
        """Go on without a build that failed. Raises ModelFailed if none is left."""
        self.staged.remove(staging)
        self.failed.append((staging, problem))
        if not self.staged:
            raise problem

    def restart(self, position: Mapping[Place, int]) -> None:
        """Forget what is in memory, and go on at the positions that the builds have in the database."""
        for staging in self.staged:
            staging.restart()
        self._parks = []
        self._waiting.clear()
        self.events = self._flushed_events
        self.position, self.flushed = dict(position), dict(position)
        self._flushed = time.monotonic()
        self._whole = True

    def prepare(self, chunks: Sequence[Chunk]) -> Prepared:
        """Decode chunks: the first half of a fold, which shares no state with the second."""
        return self._decoding.prepare(chunks)

    def add(self, prepared: Prepared) -> None:
        """Fold the events that follow the position.

        Invariant: after a failure, memory does not match the position, so nothing more is added or flushed.
        """
        found = [counted for _, counted in prepared.counted.values()]
        self._add(part_of(prepared.position, found, {}), lambda staging: staging.add(prepared.counted))

    def take(self, part: Part) -> None:
        """Add rows that another process folded, of the events that follow the position."""
        self._decoding.remember(part.parks)
        self._add(part, lambda staging: staging.take(part.rows.get(staging.build.number)))

    def _add(self, part: Part, step: Callable[[Staging], None]) -> None:
        self._only_if_whole()
        self._whole = False
        self.each(step)
        self._parks += part.parks
        self._waiting.update(part.waiting)
        self.events += part.events
        self.fell_back += part.fell_back
        self.position |= part.position
        self._whole = True
        if time.monotonic() - self._flushed > FLUSH_S or sum(staging.size for staging in self.staged) > self.room:
            self.flush()
        elif self.appends_ahead and self.hold is None and not self._parks:  # what all builds share is written before
            self._append()

    def _append(self) -> None:
        """Write the rows of event tables that have many, each table with its positions."""
        if not any(staging.appended >= APPEND_ROWS for staging in self.staged):
            return
        self._whole = False
        self.each(lambda staging: self._write(staging) if staging.appended >= APPEND_ROWS else None)
        failpoint("replay.after-flush")
        self._whole = True

    def flush(self) -> None:
        """Write rows, parked streams and positions in one transaction."""
        with self._db.transaction():
            self.flush_within()
            failpoint("replay.within-flush")
            self._whole = False  # until the commit
        self.flushed, self._flushed_events = dict(self.position), self.events
        failpoint("replay.after-flush")
        self._whole = True
        self._flushed = time.monotonic()

    def flush_within(self) -> None:
        """Flush within the caller's transaction."""
        self._only_if_whole()
        self._whole = False
        if self.hold is not None:
            self.hold(self.flushed)
        self._park()
        self._parks = []
        self._waiting.clear()
        with ThreadPoolExecutor(
            1, "merge"
        ) as ahead:  # a table's rows are merged while those of the one before are sent
            merged = {staging.build.number: ahead.submit(staging.merge) for staging in self.staged}
            self.each(lambda staging: self._flush(staging, merged[staging.build.number]))
        self._whole = True

    def _park(self) -> None:
        if not self._parks_alone:
            parking.park(self._db, self._parks, self._waiting if self._counts_waiting else {})
            return
        for number in [staging.build.number for staging in self.staged]:
            parking.park(self._db, [replace(park, build=number) for park in self._parks], {}, number)

    def finish(self) -> None:
        """Write the rows in memory, and add keys and later flushes: a transaction for each table, two at once unless `one_by_one`.

        Tables that were finished before a kill stand further than the others. What all share is written before.
        """
        if self._parks or (self._counts_waiting and self._waiting):
            self.flush()
        self._only_if_whole()
        self._whole = False
        free = {self._db} if self.one_by_one else {self._db, self._decoding.db}  # nothing is decoded meanwhile
        with finishing(self.staged, free, self.position) as step:
            self.each(step)
        failpoint("replay.after-flush")
        self._whole = True

    def _flush(self, staging: Staging, merged: Future[None]) -> None:
        merged.result()
        self._write(staging)

    def _write(self, staging: Staging) -> None:
        with self._db.transaction():  # within another one it is nested: if one table fails, the others keep their rows
            staging.flush(self._db)
            positions.put(self._db, staging.build.group, self.position)

    def _only_if_whole(self) -> None:
        if not self._whole:
            raise RuntimeError("a fold or a flush failed before")
