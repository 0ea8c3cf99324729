"""The models fold: one transaction writes each batch's rows, parked streams and positions; then it sends NOTIFY.

Invariant: a member's table is a function of its declaration, the positions of group `models` and the parked offsets. So
all members are written in the transaction that moves the positions, at most up to the core's position, without voids.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg

from refold.projections import metrics
from refold.projections.declaring.declaration import EventType
from refold.projections.errors import ModelFailed
from refold.projections.live import apart, parking
from refold.projections.live.carry import carry_rows
from refold.projections.live.limits import AskedLimits, FoldLimits
from refold.projections.live.member import detaching, write
from refold.projections.partials import merge_sql
from refold.projections.partials.batch import Batch, Counted, batch_of, by_category, counted_events
from refold.projections.partials.by_rows import partial_columns
from refold.projections.partials.row_batch import FEW, RowReader
from refold.projections.partials.row_values import Row
from refold.projections.tables import builds, indexes
from refold.projections.tables.builds import GROUP, Build
from refold.projections.tables.declared import Declared
from refold.projections.tables.layout import Layout
from refold.schemas.catalog import Catalog
from refold.schemas.columns.decoder import ColumnDecoder
from refold.streams import journal
from refold.streams import metrics as chunk_metrics
from refold.streams.chunk import Chunk, Place
from refold.streams.core.limits import group_positions
from refold.streams.errors import Lost
from refold.streams.failpoints import failpoint
from refold.streams.log.topics import events_topic
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database, connect_patiently, notify
from refold.streams.postgres.pipelined import Pipelined
from refold.streams.refusals import is_away

_log = logging.getLogger(__name__)
_LOCK_TIMEOUT = b"SET LOCAL lock_timeout = '10s'"


class ModelsFold:
    """Folds chunks into the tables of all members. One connection, one thread."""

    group = GROUP

    def __init__(self, url: str, prefix: str, catalog: Catalog, found: Declared) -> None:
        self._url, self._prefix, self._declared = url, prefix, found
        self._decoder = ColumnDecoder(catalog, thin=True)
        self._readers = {category: RowReader(catalog, category, types) for category, types in found.types.items()}
        self.topics: Sequence[str] = [events_topic(prefix, category) for category in found.types]
        self._db = connect_patiently(url, application_name=GROUP, by_key=True)
        self._pipelined = Pipelined(self._db)

    @property
    def db(self) -> Database:
        """The connection, for other code that writes in the same transaction."""
        return self._db

    def decoded(self, batch: Batch) -> Counted:
        """Every event of a batch, void and parked ones excluded."""
        return counted_events(self._decoder, self._declared.types.get(batch.category, []), batch, {}, [])

    def reconnect(self) -> None:
        """Open a new connection, once Postgres is back."""
        self._db.close()
        self._db = connect_patiently(self._url, application_name=GROUP, by_key=True)
        self._pipelined = Pipelined(self._db)

    def stored(self, places: Sequence[Place]) -> dict[Place, int]:
        """The group's positions. Ends the process if the database was emptied: only a start makes the models' tables."""
        at = positions.stored(self._db, GROUP, places)
        if self._is_emptied(builds.builds(self._db)):
            raise SystemExit("the database was emptied: the models start again, and make their tables")
        return at

    def close(self) -> None:
        self._db.close()

    def apply(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        """Fold up to the core's positions in one transaction. A model that fails is detached, the rest goes on.

        Raises Lost.
        """
        one_by_one = False
        while True:
            try:
                return self._transaction(chunks, one_by_one=one_by_one)
            except ModelFailed as failed:
                self._detach(failed)
            except psycopg.Error as problem:
                if one_by_one or is_away(problem):
                    raise
                one_by_one = True

    def _transaction(self, chunks: Sequence[Chunk], *, one_by_one: bool) -> dict[Place, int]:
        """Fold in one transaction, reads and writes pipelined. Raises ModelFailed, Lost.

        `one_by_one` shows whose statement fails.
        """
        db = self._pipelined
        with db.transaction():
            db.execute(_LOCK_TIMEOUT)
            builds.lock_shared(db)
            limits, there, locked = AskedLimits(db, chunks), builds.ask(db), positions.lock(db, GROUP, chunks)
            positions.compare(locked, chunks)
            allowed = limits.answer()
            offered, found = allowed.offered(chunks), builds.builds_of(there)
            if self._is_emptied(found):
                raise Lost([chunk.place for chunk in chunks])
            if offered:
                failpoint("models.before-write")
                for chunk in offered:
                    positions.move(db, GROUP, chunk)
                self._fold(offered, allowed, self._members(found), one_by_one=one_by_one)
                self._fold_apart(offered, allowed, found, one_by_one=one_by_one)
                notify(db, GROUP, {chunk.place: chunk.end for chunk in offered})
                failpoint("models.before-commit")
        if offered:
            failpoint("models.after-commit")
        moved = {chunk.place: chunk.end for chunk in offered}
        chunk_metrics.RECORDS.labels(GROUP).inc(sum(len(chunk.values) for chunk in offered))
        return {chunk.place: moved.get(chunk.place, chunk.start) for chunk in chunks}

    def _is_emptied(self, there: Sequence[Build]) -> bool:
        """Whether there is no table to fold into, and never was one: another process has begun in an emptied database."""
        return bool(self._declared.layouts) and not there and not any(group_positions(self._db, GROUP).values())

    def topic(self, category: str) -> str:
        """The topic of a category's events."""
        return events_topic(self._prefix, category)

    def divided(self, there: Sequence[Build]) -> tuple[list[tuple[Build, Layout]], list[Build]]:
        """The members that this code can write, and those that it declares otherwise or not at all."""
        known, lacking = [], []
        for build in there:
            name = (build.domain, build.model)
            if build.is_member and self._declared.fingerprints.get(name) == build.fingerprint:
                known.append((build, self._declared.layouts[name]))
            elif build.is_member:
                lacking.append(build)
        return known, lacking

    def apart(self, there: Sequence[Build]) -> list[tuple[Build, Layout]]:
        """The builds set apart that this code can write."""
        return apart.known(self._declared, there)

    def _members(self, there: Sequence[Build]) -> list[tuple[Build, Layout]]:
        known, lacking = self.divided(there)
        for build in lacking:
            raise ModelFailed(build.number, "this code declares it otherwise, or not at all")
        return known

    def _fold_apart(
        self, chunks: Sequence[Chunk], allowed: FoldLimits, there: Sequence[Build], *, one_by_one: bool
    ) -> None:
        """Fold into this code's builds set apart that stand at a chunk's start: they keep up with the group."""
        together: dict[tuple[Place, ...], list[tuple[Build, Layout]]] = {}
        for build, layout, places in apart.standing(
            self._pipelined, self._prefix, self._declared, there, chunks, allowed
        ):
            together.setdefault(places, []).append((build, layout))
        for places, followers in together.items():
            theirs = [chunk for chunk in chunks if chunk.place in places]
            for build, _ in followers:
                for chunk in theirs:
                    positions.move(self._pipelined, build.group, chunk)
            self._fold(theirs, allowed, followers, one_by_one=one_by_one, told=False)

    def _fold(
        self,
        chunks: Sequence[Chunk],
        allowed: FoldLimits,
        members: Sequence[tuple[Build, Layout]],
        *,
        one_by_one: bool,
        told: bool = True,
    ) -> None:
        """Fold into the group's members (`told`): only these count events and park streams that cannot be read."""
        grouped = by_category(self._prefix, chunks)
        rows = self._rows(grouped, allowed, members)
        if rows is None:
            self._fold_columns(grouped, allowed, members, one_by_one=one_by_one, told=told)
            return
        for category in grouped if told else ():
            metrics.EVENTS.labels(category).inc(sum(len(rows[kind]) for kind in rows if kind.category.name == category))
        with chunk_metrics.stage(GROUP, "merge"):
            for build, layout in members:
                with self._detaching(build, layout, one_by_one=one_by_one):
                    told_to = carry_rows(self._pipelined, layout, build.schema, rows)
                    merge_sql.add(self._pipelined, layout, build.schema, partial_columns(layout, told_to))

    def _rows(
        self, chunks: Mapping[str, Sequence[Chunk]], allowed: FoldLimits, members: Sequence[tuple[Build, Layout]]
    ) -> dict[EventType, list[Row]] | None:
        """The events as rows if they are few and all readable, no stream waits and no model evolves; else None."""
        few = sum(len(chunk.values) for of_it in chunks.values() for chunk in of_it) <= FEW
        if not few or allowed.parked or any(layout.evolves for _, layout in members):
            return None
        found: dict[EventType, list[Row]] = {}
        with chunk_metrics.stage(GROUP, "decode"):
            for category, of_it in chunks.items():
                rows = self._readers[category].read(of_it, allowed.voids)
                if rows is None:
                    return None
                found |= rows
        return found

    def _fold_columns(
        self,
        chunks: Mapping[str, Sequence[Chunk]],
        allowed: FoldLimits,
        members: Sequence[tuple[Build, Layout]],
        *,
        one_by_one: bool,
        told: bool,
    ) -> None:
        counted: dict[str, tuple[Batch, Counted]] = {}
        with chunk_metrics.stage(GROUP, "decode"):
            for category, of_it in chunks.items():
                batch = batch_of(category, of_it)
                parked = [park for park in allowed.parked if park.build == 0]
                counted[category] = (
                    batch,
                    counted_events(self._decoder, self._declared.types[category], batch, allowed.voids, parked),
                )
        for category, (_, found) in counted.items() if told else ():
            metrics.EVENTS.labels(category).inc(found.events)
            chunk_metrics.FALL_BACKS.labels(GROUP).inc(found.fell_back)
            chunk_metrics.UPCAST.labels(GROUP).inc(found.upcast)
            parking.park(self._pipelined, found.parks, found.waiting)
        with chunk_metrics.stage(GROUP, "merge"):
            for build, layout in members:
                with self._detaching(build, layout, one_by_one=one_by_one):
                    write(self._pipelined, build, layout, counted, allowed.parked)

    def _detach(self, failed: ModelFailed) -> None:
        found = next(build for build in builds.builds(self._db) if build.number == failed.build)
        if indexes.give_up(self._db, found, failed.__cause__):
            return
        same = self._declared.fingerprints.get((found.domain, found.model)) == found.fingerprint
        code = failed.code if same else builds.OTHER_CODE
        builds.detach(self._db, found, code, failed.message)
        metrics.DETACHED.labels(found.model, code).inc()
        how = "is detached" if same else "goes on at its own positions; the processes that have its code write it"
        _log.log(
            logging.ERROR if same else logging.WARNING,
            "models: %s.%s (build %d) %s: %s", found.domain, found.model, found.number, how, failed.message,
            extra=journal.about(code=code, of=(found.domain, found.model)),
        )  # fmt: skip

    @contextmanager
    def _detaching(self, build: Build, layout: Layout, *, one_by_one: bool) -> Iterator[None]:
        """As `detaching`, but sends the queued statements at once when a failure must be traced to its model."""
        with detaching(build, layout):
            yield
            if one_by_one:
                self._pipelined.flush()
