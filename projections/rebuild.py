"""Folding the log into builds at full speed: one thread reads, one folds; rows wait in memory and are flushed with their positions."""

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from refold.projections import parking
from refold.projections.batch import ALL_BUILDS, Batch, Counted, Park, batch_of, counted_events
from refold.projections.declaration import EventType
from refold.projections.limits import limits
from refold.projections.source import Source
from refold.projections.staging import Staging, keep_positions
from refold.schemas.columns import ColumnDecoder
from refold.streams.chunk import Chunk, Place
from refold.streams.postgres import Database
from refold.streams.topics import category_of

BATCH_RECORDS = 80_000
FLUSH_S = 30.0
FLUSH_ROWS = 8_000_000
_AHEAD = 2
_SWITCH_S = 0.0005
"""The folding thread leaves the interpreter's lock for Polars hundreds of times a batch; each time it would wait 5 ms for it."""

Progress = Callable[[int, int], None]
"""Told how many records are done, and of how many."""


class Target(Protocol):
    """What batches of the log go into."""

    def fold(self, chunks: Sequence[Chunk]) -> None: ...
    def flush(self) -> None: ...


class Builder:
    """Folds chunks into some builds that stand at the same positions. Used by one thread at a time."""

    def __init__(
        self,
        db: Database,
        prefix: str,
        decoder: ColumnDecoder,
        types: Mapping[str, Sequence[EventType]],
        staged: Sequence[Staging],
    ) -> None:
        self._db, self._prefix, self._decoder, self._types = db, prefix, decoder, types
        self.staged = staged
        self.position: dict[Place, int] = {}
        self.events = 0
        self.fell_back = 0
        self._parks: list[Park] = []
        self._flushed = time.monotonic()
        self._whole = True

    def fold(self, chunks: Sequence[Chunk]) -> None:
        """Fold chunks that follow the position, all of them before the core's.

        Invariant: after a failure memory is not what the position says, so nothing more is folded or flushed.
        """
        self._only_if_whole()
        self._whole = False
        counted = self._counted(chunks)
        for staging in self.staged:
            staging.add(counted)
        self.position |= {chunk.place: chunk.end for chunk in chunks}
        self._whole = True
        if time.monotonic() - self._flushed > FLUSH_S or sum(staging.rows for staging in self.staged) > FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write rows, parked streams and positions in one transaction."""
        with self._db.transaction():
            self.flush_within()
            self._whole = False  # until it is committed
        self._whole = True
        self._flushed = time.monotonic()

    def flush_within(self) -> None:
        """The same, within the caller's transaction."""
        self._only_if_whole()
        self._whole = False
        parking.park(self._db, self._parks, {})
        self._parks = []
        for staging in self.staged:
            staging.flush()
            keep_positions(self._db, staging.build, self.position)
        self._whole = True

    def _only_if_whole(self) -> None:
        if not self._whole:
            raise RuntimeError("a fold or a flush failed before")

    def _counted(self, chunks: Sequence[Chunk]) -> dict[str, tuple[Batch, Counted]]:
        allowed = limits(self._db, chunks)
        parked = [*(park for park in allowed.parked if park.build == ALL_BUILDS), *self._parks]
        found: dict[str, tuple[Batch, Counted]] = {}
        for category in sorted({category_of(self._prefix, chunk.topic) for chunk in chunks}):
            batch = batch_of(
                category, [chunk for chunk in chunks if category_of(self._prefix, chunk.topic) == category]
            )
            counted = counted_events(self._decoder, self._types[category], batch, allowed.voids, parked)
            found[category] = batch, counted
            self._parks += counted.parks
            self.events += counted.events
            self.fell_back += counted.fell_back
        return found


def fold_log(source: Source, target: Target, upto: Mapping[Place, int], progress: Progress) -> None:
    """Read the log up to given positions and fold it, both at once; flushed at the end."""
    whole = source.left(upto)
    done = 0
    sys.setswitchinterval(_SWITCH_S)
    pending: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="fold") as folding:
        while source.left(upto):
            chunks = _batch(source, upto)
            pending.append(folding.submit(target.fold, chunks))
            if len(pending) > _AHEAD:
                pending.popleft().result()
            done += sum(len(chunk.values) for chunk in chunks)
            progress(done, whole)
        for rest in pending:
            rest.result()
    target.flush()


def _batch(source: Source, upto: Mapping[Place, int]) -> list[Chunk]:
    """About BATCH_RECORDS records, a chunk a place."""
    found: dict[Place, Chunk] = {}
    records = 0
    while records < BATCH_RECORDS and source.left(upto):
        for chunk in source.read(upto, 0.5):
            found[chunk.place] = found[chunk.place].then(chunk) if chunk.place in found else chunk
            records += len(chunk.values)
    return list(found.values())
