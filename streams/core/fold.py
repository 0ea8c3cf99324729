"""The core fold: one transaction a batch of chunks writes claims, streams, outcomes, voids and positions; then NOTIFY.

Invariant: the tables at a position are the fold of the log before it, however the log was cut into chunks
(`rules/judge` has the rules). A position moves in the transaction of the rows that it stands for, or not at all.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import psycopg

from refold.schemas.codec import Codec
from refold.schemas.columns.decoder import Heads, read_heads
from refold.streams import journal, metrics
from refold.streams.chunk import Chunk, Place
from refold.streams.core import tables
from refold.streams.core.tables import AskedBefore, StoredClaim
from refold.streams.domain import AnyDecider, Domains
from refold.streams.errors import NewerRules
from refold.streams.failpoints import failpoint
from refold.streams.kafka.stopped_places import StoppedPlaces
from refold.streams.log.history import History
from refold.streams.log.topics import category_of, events_topic
from refold.streams.log.voidings_ahead import VoidingsAhead
from refold.streams.postgres import positions
from refold.streams.postgres.connection import connect_patiently, notify
from refold.streams.postgres.pipelined import Pipelined
from refold.streams.postgres.set_aside import original
from refold.streams.refusals import first_line
from refold.streams.rules import by_columns, by_rows
from refold.streams.rules.decoded import EventDecoder
from refold.streams.rules.effects import Before, Folded, FoldStream

_log = logging.getLogger(__name__)
GROUP = "core"
FEW = 64
"""Records up to which a chunk is folded row by row: columns cost some milliseconds before their first record."""
_AT_ONCE = 500_000
"""Records that one search for a voiding reads: other partitions wait meanwhile. The next search goes on from there."""
_WARY_FOR = 100
"""Transactions that look up existing outcomes first, after a command was found that had been decided before."""


class Records(Protocol):
    """A chunk's records in the form that the rules read."""

    streams: Sequence[str]
    keys: Sequence[bytes]

    def fold(self, decider: AnyDecider, before: Before, refold: FoldStream) -> Folded | None:
        """The records' effects on top of the tables' rows; None if this form cannot tell."""


@dataclass(frozen=True)
class _View:
    """A chunk, its category's decider, and its records as rows or columns."""

    chunk: Chunk
    decider: AnyDecider
    records: Records


class CoreFold:
    """Folds chunks of all categories' events into the core's tables. One connection, one thread."""

    group = GROUP

    def __init__(self, url: str, prefix: str, domains: Domains, history: History, *, stands: bool = False) -> None:
        """`stands`: a partition under newer rules stops by itself, and others go on; else `apply` raises NewerRules."""
        self._url, self._prefix, self._domains, self._history = url, prefix, domains, history
        self._decoder = EventDecoder(domains.catalog)
        self._codec = Codec(domains.catalog)
        self.topics: Sequence[str] = [events_topic(prefix, name) for name in sorted(domains.categories)]
        self._db = connect_patiently(url, application_name=GROUP, by_key=True)
        self._pipelined = Pipelined(self._db)
        self._wary = 0
        self._stands = stands
        self._stopped = StoppedPlaces()
        self._ahead = VoidingsAhead(history.servers, at_once=None if not stands else _AT_ONCE)

    def reconnect(self) -> None:
        """Connect again, once Postgres is back."""
        self._db.close()
        self._db = connect_patiently(self._url, application_name=GROUP, by_key=True)
        self._pipelined = Pipelined(self._db)

    def stored(self, places: Sequence[Place]) -> dict[Place, int]:
        """The core's positions."""
        return positions.stored(self._db, GROUP, places)

    def apply(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        """Fold up to the last whole group, in one transaction. Raises Lost, NewerRules, KafkaUnavailable.

        It skips the lookup of existing outcomes, because a handler never decides a command twice. If one exists anyway,
        its key rejects the insert, and the transaction is repeated with the lookup.
        """
        with metrics.stage(GROUP, "decode"):
            views = [self._view(chunk) for chunk in sorted(chunks, key=lambda chunk: chunk.place)]
        try:
            reached = self._folded(views, expects_new=not self._wary)
        except psycopg.errors.UniqueViolation as problem:
            _log.warning(
                "core: commands that were decided before: %s", first_line(problem), extra=journal.about(problem)
            )
            self._wary = _WARY_FOR
            reached = self._folded(views, expects_new=False)
        self._wary = max(self._wary - 1, 0)
        metrics.RECORDS.labels(GROUP).inc(sum(reached[chunk.place] - chunk.start for chunk in chunks))
        return reached

    def _folded(self, views: Sequence[_View], *, expects_new: bool) -> dict[Place, int]:
        chunks, reached = [view.chunk for view in views], dict[Place, int]()
        with metrics.stage(GROUP, "transaction"), self._pipelined.transaction():
            locked = positions.lock(self._pipelined, GROUP, chunks)
            asked = [self._ask(view, expects_new=expects_new) for view in views]
            positions.compare(locked, chunks)
            failpoint("core.before-write")
            for view, before in zip(views, asked, strict=True):
                folded = self._fold(view, before)
                reached[view.chunk.place] = folded.chunk.end
                self._judge_newer(view.chunk.place, folded.newer)
            moved = {chunk.place: reached[chunk.place] for chunk in chunks if reached[chunk.place] > chunk.start}
            if moved:
                notify(self._pipelined, GROUP, moved)
                failpoint("core.before-commit")
        failpoint("core.after-commit")
        return reached

    def _judge_newer(self, place: Place, newer: NewerRules | None) -> None:
        """Stop the place if its records need newer rules. Raises NewerRules if a place is not to stop by itself."""
        if newer is None:
            self._stopped.goes_on(place)
            return
        (topic, part), offset = place, self._ahead.stands_at(place)
        told = NewerRules(
            f"{topic}/{part}@{offset}: {newer.message}; if it is forged: refold log void {topic} {part} {offset}"
        )
        if not self._stands:
            raise told
        self._stopped.stop(place, told)

    def close(self) -> None:
        """Give the connection back."""
        self._db.close()

    def _count_retired(self, category: str, heads: Heads) -> None:
        """Count the records that are upcast one by one; `_view` counts those decoded by columns."""
        retired = self._domains.catalog.retired_ids.get(category, ())
        if found := [number for number in retired if number in heads.present]:
            metrics.UPCAST.labels(GROUP).inc(sum(len(heads.rows_of(number)) for number in found))

    def _view(self, chunk: Chunk) -> _View:
        """The chunk as columns, if that pays and columns can hold all of it; else as rows."""
        decider, heads = self._domains.deciders[category_of(self._prefix, chunk.topic)], read_heads(chunk.values)
        category = decider.category.name
        self._domains.catalog.know(heads.present)
        if len(chunk.values) <= FEW:
            self._count_retired(category, heads)
            return self._view_by_rows(chunk, decider)
        decoded = self._decoder.decode(chunk, category, heads)
        metrics.FALL_BACKS.labels(GROUP).inc(decoded.fell_back)
        metrics.UPCAST.labels(GROUP).inc(len(decoded.upcast))
        columns = decoded.envelopes()
        if columns is not None:
            return _View(chunk, decider, by_columns.ByColumns(decoded, columns, category))
        return self._view_by_rows(chunk, decider)

    def _view_by_rows(self, chunk: Chunk, decider: AnyDecider) -> _View:
        if len(chunk.values) > FEW:
            metrics.ROW_WISE.labels(GROUP).inc(len(chunk.values))
        return _View(chunk, decider, by_rows.ByRows(chunk, decider.category.name, self._codec, self._ahead.names))

    def _ask(self, view: _View, *, expects_new: bool = False) -> AskedBefore:
        records, category = view.records, view.decider.category.name
        keys = None if expects_new else records.keys
        return AskedBefore(self._pipelined, category, view.chunk.part, records.streams, keys)

    def _fold(self, view: _View, asked: AskedBefore) -> Folded:
        refold = partial(self._history.state, self._db, view.decider)
        before = asked.answer()
        with metrics.stage(GROUP, "rules"):
            folded = view.records.fold(view.decider, before, refold)
        if folded is None:
            rows = self._view_by_rows(view.chunk, view.decider)
            return self._fold(rows, self._ask(rows))
        if folded.chunk.values:
            with metrics.stage(GROUP, "write"):
                self._write(view.decider.category.name, before, folded)
        return folded

    def _write(self, category: str, before: Before, folded: Folded) -> None:
        db, chunk = self._pipelined, folded.chunk
        claim = StoredClaim(folded.state, hashlib.sha256(original(chunk.values[-1]) or b"").digest()[:16])
        tables.insert_voids(db, chunk.topic, chunk.part, folded.voids)
        positions.move(db, GROUP, chunk)
        tables.write_claim(db, (category, chunk.part), claim, first=before.first)
        if folded.effects is not None:
            tables.write_effects(db, folded.effects)
        for _, _, reason in folded.voids:
            metrics.VOIDS.labels(category, reason).inc()
