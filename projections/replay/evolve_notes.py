"""Notes by which the next run of a command finds the record on which `evolve` killed a build's process, and skips it.

A batch is noted as a whole. After a death each record is noted by itself before `evolve` is called with it, until the
batch of the death is passed. So the second death names the record, however large the batches are. The notes belong to
the declaration, not to the build.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from refold.projections.live import parking
from refold.projections.partials.batch import Park
from refold.projections.partials.evolve import Tell
from refold.projections.tables.builds import GROUP, Build
from refold.streams import journal, metrics
from refold.streams.chunk import Chunk, Place
from refold.streams.guard.attempts import Attempts
from refold.streams.log.topics import category_of
from refold.streams.postgres.connection import Database
from refold.streams.postgres.set_aside import CODE_KILLS, KILLED
from refold.streams.settings import Settings

_log = logging.getLogger(__name__)
KeepAway = Callable[[Build, Place, int], None]
"""Keeps a record (place, offset) away from `evolve`, which it killed."""


class EvolveNotes:
    """Notes of the records that one model's `evolve` is about to fold. Used by one thread at a time."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts

    @property
    def wary(self) -> bool:
        """Whether a process died here and its records are not passed yet."""
        return bool(self._attempts.suspects)

    @contextmanager
    def of(self, chunks: Sequence[Chunk]) -> Iterator[Tell | None]:
        """Note one category's chunks while the block folds them.

        Yields a function that notes single records, if a death is known.
        """
        self._attempts.begin(chunks)
        try:
            yield self._tell(chunks[0].topic) if self.wary else None
        finally:
            self._attempts.end()
        for chunk in chunks:  # from 0 on: nobody reads earlier records again
            self._attempts.passed(chunk.place, 0, chunk.end)

    def found(self, deaths: int) -> list[tuple[Place, int]]:
        """The records on which at least `deaths` processes died while each was noted by itself."""
        return [(suspect.place, suspect.start) for suspect in self._attempts.suspects if suspect.alone >= deaths]

    def forget(self, place: Place, offset: int) -> None:
        """Drop the notes about a record that nobody will fold again."""
        self._attempts.passed(place, offset, offset + 1)

    def _tell(self, topic: str) -> Tell:
        return lambda part, offset: self._attempts.begin([Chunk(topic, part, offset, [None])], alone=True)


@contextmanager
def evolve_notes(settings: Settings, build: Build) -> Iterator[EvolveNotes]:
    """The notes of a build's declaration, while the block lasts."""
    name = f"{settings.topic_prefix}evolve-{build.domain}.{build.model}-{build.fingerprint}"
    attempts = Attempts(settings.data.absolute() / "attempts", name)
    try:
        yield EvolveNotes(attempts)
    finally:
        attempts.close()


def pass_over_killers(settings: Settings, notes: EvolveNotes, build: Build, keep_away: KeepAway) -> None:
    """Keep the records that killed `evolve` away from it, by the given means."""
    for place, offset in notes.found(settings.decode_attempts):
        keep_away(build, place, offset)
        metrics.SET_ASIDE.labels(GROUP).inc()
        told = journal.about(place=place, offset=offset, of=offset, code=CODE_KILLS)
        _log.error("%s: set aside (%s) of %s: %s/%d [%d]", GROUP, CODE_KILLS, build.model, *place, offset, extra=told)
        notes.forget(place, offset)


def park_for_build(db: Database, prefix: str) -> KeepAway:
    """Park the record's stream for its build alone.

    The live tables have passed it, so other models must not wait for this one.
    """

    def keep_away(build: Build, place: Place, offset: int) -> None:
        _park(db, build, category_of(prefix, place[0]), place[1], offset)

    return keep_away


def _park(db: Database, build: Build, category: str, part: int, offset: int) -> None:
    rows = db.execute(
        "SELECT stream FROM refold.stream_offsets WHERE category = %s AND part = %s AND %s = ANY(offsets)",
        (category, part, offset),
    )
    for (stream,) in rows.fetchall():
        reason = f"the event at {part}:{offset}: {KILLED}"
        parking.park(db, [Park(build.number, category, stream, part, offset, CODE_KILLS, reason)], {}, build.number)
