"""Keeps up the builds of other code that this code can write: a thread of the models process that reads the log.

The live transaction (`ModelsFold`) writes these builds too if they stand at the start of its chunks. So once they have
caught up, the follower has no work in this process's partitions. It reads the partitions of processes whose code lacks
the build.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import psycopg

from refold.projections import metrics
from refold.projections.errors import ModelFailed
from refold.projections.live import apart, parking
from refold.projections.live.apart import Apart, Writers
from refold.projections.live.limits import FoldLimits, limits
from refold.projections.live.member import detaching, write
from refold.projections.partials.batch import ALL_BUILDS, Park, batch_of, by_category, counted_events
from refold.projections.tables import builds, indexes
from refold.projections.tables.builds import GROUP
from refold.projections.tables.declared import Declared
from refold.schemas.catalog import Catalog
from refold.schemas.columns.decoder import ColumnDecoder
from refold.schemas.errors import RefoldError
from refold.streams import journal
from refold.streams.chunk import Chunk, Place
from refold.streams.core.limits import group_positions
from refold.streams.errors import DatabaseRefused
from refold.streams.kafka.log_reader import LogReader
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database, connect_patiently, notify
from refold.streams.refusals import first_line
from refold.streams.settings import Settings
from refold.streams.worker.ports import ChunkFold

FOLLOWERS = "models-apart"
_log = logging.getLogger(__name__)
_READ_RECORDS, _CLOSE_RECORDS = 5_000, 500
_POLL_S, _NEXT_S, _IDLE_S, _LOOK_S, _AGAIN_S = 0.2, 0.02, 0.1, 1.0, 2.0
_MEND_S = 5.0

Same = tuple[tuple[tuple[Place, int], ...], tuple[Park, ...]]
"""Key of builds that are folded together: (place, first offset) of their records; streams that wait only for them."""


class ApartFold:
    """Folds chunks into the builds set apart that this connection follows. One connection, one thread."""

    group = FOLLOWERS

    def __init__(self, url: str, prefix: str, catalog: Catalog, found: Declared) -> None:
        self._url, self._prefix, self.declared = url, prefix, found
        self._decoder = ColumnDecoder(catalog, thin=True)
        self.topics: Sequence[str] = ()
        self.db = connect_patiently(url, application_name=FOLLOWERS, by_key=True)
        self._followed: set[int] = set()

    def reconnect(self) -> None:
        """Open a new connection. The locks of the old one are gone, so other processes may follow its builds now."""
        self.close()
        self.db = connect_patiently(self._url, application_name=FOLLOWERS, by_key=True)

    def close(self) -> None:
        self._followed.clear()
        self.db.close()

    def followed(self) -> list[Apart]:
        """The builds that only this connection follows; it holds a lock for each."""
        found = apart.known(self.declared, builds.builds(self.db))
        for number in self._followed - {build.number for build, _ in found}:
            self.let_go(number)
        return [one for one in found if self.follows(one[0].number)]

    def stands(self) -> dict[Place, int]:
        """The positions up to which this connection folds."""
        return group_positions(self.db, GROUP)

    def stored(self, places: Sequence[Place]) -> dict[Place, int]:
        """The least position of the followed builds in each place that they read."""
        least: dict[Place, int] = {}
        for build, layout in self.followed():
            topics = apart.topics_of(self._prefix, layout)
            ours = [place for place in places if place[0] in topics]
            for place, at in positions.stored(self.db, build.group, ours).items():
                least[place] = min(at, least.get(place, at))
        return least

    def apply(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        """Fold up to the group's positions in one transaction and return them by place.

        A build that fails is detached.
        """
        while True:
            try:
                return self._transaction(chunks)
            except ModelFailed as failed:
                if failed.code == builds.REFUSED:
                    raise DatabaseRefused(failed.message) from failed
                build = next(one for one in builds.builds(self.db) if one.number == failed.build)
                if indexes.give_up(self.db, build, failed.__cause__):
                    continue
                builds.detach(self.db, build, failed.code, failed.message)
                metrics.DETACHED.labels(build.model, failed.code).inc()
                _log.error(
                    "models: %s.%s (build %d) is detached: %s", build.domain, build.model, build.number, failed.message,
                    extra=journal.about(code=failed.code, of=(build.domain, build.model)),
                )  # fmt: skip

    def _transaction(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        """Fold in one transaction.

        Near the group it locks the group's positions first, so that it catches up for certain.
        """
        db = self.db
        with db.transaction():
            db.execute("SET LOCAL lock_timeout = '10s'")
            builds.lock_shared(db)
            followed, stands = self.followed(), self.stands()
            if sum(len(_before(chunk, stands).values) for chunk in chunks) <= _CLOSE_RECORDS:
                stands |= {(topic, part): at for topic, part, at in positions.lock(db, GROUP, chunks).fetchall()}
            at = apart.locked(db, followed, chunks)
            behind = [_before(chunk, stands) for chunk in chunks]
            allowed = limits(db, behind)
            for (theirs, own_parks), some in self._together(followed, at, behind, allowed).items():
                self._fold([_cut(behind, *one) for one in theirs], own_parks, some, allowed)
            notify(db, GROUP, {chunk.place: chunk.end for chunk in behind if chunk.values})
        return {chunk.place: chunk.end for chunk in behind}

    def _together(
        self,
        followed: Sequence[Apart],
        at: Mapping[tuple[str, Place], int],
        chunks: Sequence[Chunk],
        allowed: FoldLimits,
    ) -> dict[Same, list[Apart]]:
        """Builds by (place, first offset) and parks. One fold serves builds with equal keys."""
        found: dict[Same, list[Apart]] = {}
        for build, layout in followed:
            topics = apart.topics_of(self._prefix, layout)
            starts = []
            for chunk in chunks:
                start = at.get((build.group, chunk.place))
                if chunk.topic in topics and start is not None and chunk.start <= start < chunk.end:
                    starts.append((chunk.place, start))
            if starts:
                parks = tuple(apart.waits_for_itself(build, layout, allowed.parked))
                found.setdefault((tuple(sorted(starts)), parks), []).append((build, layout))
        return found

    def _fold(self, chunks: Sequence[Chunk], own: Sequence[Park], some: Sequence[Apart], allowed: FoldLimits) -> None:
        """Fold chunks into some builds. A stream that only this code cannot read is parked for these builds alone."""
        parked = [*(park for park in allowed.parked if park.build == ALL_BUILDS), *own]
        counted = {}
        for category, of_it in by_category(self._prefix, chunks).items():
            batch = batch_of(category, of_it)
            types = self.declared.types[category]
            counted[category] = (batch, counted_events(self._decoder, types, batch, allowed.voids, parked))
        for build, layout in some:
            with detaching(build, layout):
                write(self.db, build, layout, counted, allowed.parked)
            for _, found in counted.values():
                waiting = {} if layout.evolves else found.waiting
                parking.park(
                    self.db, [replace(park, build=build.number) for park in found.parks], waiting, build.number
                )
            for chunk in chunks:
                positions.move(self.db, build.group, chunk)

    def follows(self, number: int) -> bool:
        """Whether this connection holds the build's lock, or takes it now."""
        if number not in self._followed:
            row = self.db.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (_lock(number),)).fetchone()
            if row is not None and row[0]:
                self._followed.add(number)
        return number in self._followed

    def let_go(self, number: int) -> None:
        """Leave the build to other processes."""
        if number in self._followed:
            self.db.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (_lock(number),))
            self._followed.discard(number)


class Follower:
    """The follower's thread. It never ends its process: an error is logged and the work tried again."""

    def __init__(
        self,
        fold: ApartFold,
        guarded: ChunkFold,
        settings: Settings,
        writers: Writers,
        mend: Callable[[Database], object],
    ) -> None:
        """`guarded`: the same fold, guarded. `mend`: called now and then to tidy up after a deploy."""
        self._mend, self._mended = mend, time.monotonic()
        self._fold, self._guarded, self._settings, self._writers = fold, guarded, settings, writers
        self._prefix = settings.topic_prefix
        self._reader: LogReader | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follow", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop once the transaction under way is done, or after some seconds."""
        self._stopping.set()
        self._thread.join(4.0)

    def step(self) -> float:
        """Fold what remains, and join builds that have caught up with the group.

        Returns the seconds until the next step.
        """
        if time.monotonic() - self._mended > _MEND_S:
            self._mended = time.monotonic()
            self._mend(self._fold.db)
        found = self._fold.followed()
        if not found:
            self._forget()
            return _LOOK_S
        if self.advance(found):
            self._join(found)
            return _IDLE_S
        return _NEXT_S

    def advance(self, found: Sequence[Apart]) -> bool:
        """Fold some of what remains for the followed builds. Returns whether nothing remained."""
        topics = {topic for _, layout in found for topic in apart.topics_of(self._prefix, layout)}
        places = [(topic, part) for topic in sorted(topics) for part in range(self._settings.partitions)]
        at, stands = self._fold.stored(places), self._fold.stands()
        if all(stands.get(place, 0) <= at[place] for place in at):
            return True
        chunks = self._read(at)
        if chunks:
            self._guarded.apply(chunks)
        return False

    def close(self) -> None:
        """Close its connections, if its thread was never started."""
        self._forget()
        self._fold.close()

    def _join(self, found: Sequence[Apart]) -> None:
        for build, layout in found:
            with suppress(psycopg.errors.LockNotAvailable):
                if apart.join(self._fold.db, self._prefix, build, layout, self._writers):
                    named = build.domain, build.model, build.number
                    _log.info("models: %s.%s (build %d) is written by the group again", *named)

    def _read(self, at: Mapping[Place, int]) -> list[Chunk]:
        if self._reader is None or self._reader.next.keys() != at.keys():
            self._forget()
            self._reader = LogReader(self._settings.kafka_servers(), at, records=_READ_RECORDS)
        for place, offset in at.items():
            if self._reader.next[place] != offset:
                self._reader.seek(place, offset)
        return self._reader.poll(_POLL_S)

    def _forget(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _run(self) -> None:
        pause, told = 0.0, ""
        while not self._stopping.wait(pause):
            try:
                pause, told = self.step(), ""
            except (psycopg.Error, RefoldError) as problem:
                if told != (told := first_line(problem)):
                    _log.warning("models: builds of other code wait: %s", told, extra=journal.about(problem))
                pause = _AGAIN_S
                self._begin_anew(problem)
        self.close()

    def _begin_anew(self, problem: Exception) -> None:
        with suppress(RefoldError):
            self._forget()
            if isinstance(problem, psycopg.Error):
                self._fold.reconnect()


def _before(chunk: Chunk, stands: Mapping[Place, int]) -> Chunk:
    return chunk.upto(stands.get(chunk.place, 0))


def _cut(chunks: Sequence[Chunk], place: Place, start: int) -> Chunk:
    return next(chunk.since(start) for chunk in chunks if chunk.place == place)


def _lock(number: int) -> str:
    return f"{builds.FOLLOW_LOCK}{number}"
