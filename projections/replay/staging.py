"""A build in the making: partials are merged in memory and flushed with their positions; the key comes last.

Until the table has its key, COPY writes the first flush into it and later flushes beside it. Finishing adds the key and
merges the later flushes. Rows of an event table never merge, so COPY writes each flush into the table. So the database
tells how far a build is, and a killed one resumes from its last flush.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import polars as pl
from psycopg import sql

from refold.projections.live import parking
from refold.projections.live.member import frames_for, load_rows
from refold.projections.partials import merge_sql
from refold.projections.partials.author_fold import HeldRow
from refold.projections.partials.batch import Batch, Counted, Park
from refold.projections.partials.evolve import EvolveTarget, evolve_batch, rows_of
from refold.projections.partials.partial import Frames, merged, partial_of
from refold.projections.partials.value_sets import side_rows
from refold.projections.partials.wide_sums import Values, writable
from refold.projections.replay.evolve_notes import EvolveNotes
from refold.projections.replay.holding import UNHELD, Holding
from refold.projections.replay.remembering import Remembering
from refold.projections.tables import indexes, names, tables
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout
from refold.streams.postgres.connection import Database

_COMPACT_ROWS = 300_000
_FLUSH = "_flush"
_DIGITS = 4
"""Digits of a flush's number, which ends the name of its table."""
_FIRST_LOCK = 0x5EF0D3
"""With a build's number the lock of its first flush, which goes into the table itself."""
_HELD_BYTES = 2_000
"""About what one evolved row takes as Python objects."""


class Staging:
    """One build of one model. `add` touches only memory, except for the rows of evolved entities, and for what is carried once that is much."""

    def __init__(
        self,
        db: Database,
        layout: Layout,
        build: Build,
        parked: Sequence[Park],
        notes: EvolveNotes | None = None,
        holding: Holding = UNHELD,
    ) -> None:
        """`notes`: about the records that `evolve` is about to fold, if the model evolves."""
        self.layout, self.build, self._holding = layout, build, holding
        self._db, self._notes = db, notes
        self._remembering = Remembering(db, layout, build)
        self._partials: list[pl.DataFrame] = []
        self._bytes, self._compact_at = 0, _COMPACT_ROWS
        self._held: dict[str, HeldRow] = {}
        self._changed: dict[str, HeldRow] = {}
        self._parked = [park for park in parked if park.build == build.number]
        self._parks: list[Park] = []
        self._waiting: dict[tuple[str, str], int] = {}
        self.shared = False
        """Whether other commands write to the same build now."""

    @property
    def size(self) -> int:
        """Bytes of the rows in memory."""
        return self._bytes + len(self._held) * _HELD_BYTES + self._remembering.size

    @property
    def appended(self) -> int:
        """Rows of an event table in memory."""
        return sum(partial.height for partial in self._partials) if self.layout.appends else 0

    @property
    def wary(self) -> bool:
        """Whether `evolve` is known to have killed a process and its records are not passed yet."""
        return self._notes is not None and self._notes.wary

    def add(self, counted: Mapping[str, tuple[Batch, Counted]]) -> None:
        """Fold the events of a batch of chunks."""
        frames = frames_for(self.layout, counted)
        if not frames:
            return
        if self.layout.evolves:
            self._evolve(counted[next(iter(frames)).category.name][0], frames)
            return
        self.take(partial_of(self.layout, self._carried(frames)))

    def _carried(self, frames: Frames) -> Frames:
        """The events that are folded, with what is carried to them."""
        return self._remembering.carry(frames)

    def take(self, partial: pl.DataFrame | None) -> None:
        """Add what some events add to the rows."""
        if partial is None:
            return
        self._partials.append(partial)
        self._bytes += int(self._partials[-1].estimated_size())
        if not self.layout.appends and sum(partial.height for partial in self._partials) > self._compact_at:
            self.merge()
            self._compact_at = max(_COMPACT_ROWS, 2 * self._partials[0].height)

    def merge(self) -> None:
        """Make one of all partials in memory. Polars does it without Python's lock, so it may run beside other work."""
        if len(self._partials) > 1 and not self.layout.appends:
            self._partials = [merged(self.layout, self._partials)]
            self._bytes = int(self._partials[0].estimated_size())

    def flush(self, db: Database) -> None:
        """Write the rows in memory, within the caller's transaction, which also moves the positions; through any connection."""
        if self.layout.evolves:
            merge_sql.add(db, self.layout, self.build.schema, rows_of(self.layout, self._changed))
            parking.park(db, self._parks, self._waiting, self.build.number)
            self._held, self._changed, self._parks, self._waiting = {}, {}, [], {}
            return
        self._remembering.flush(db)
        if not self._partials:
            return
        partials = self._partials if self.layout.appends else [merged(self.layout, self._partials)]
        self._partials, self._bytes = [], 0
        if self._has_key(db):
            for rows in partials:
                merge_sql.add(db, self.layout, self.build.schema, rows)
            return
        for part in (half for rows in partials for half in writable(self.layout, rows)):
            if self.layout.appends or self._is_first(db):
                self._copy(db, "", part)
            else:
                self._copy_beside(db, part)

    def restart(self) -> None:
        """Forget the rows in memory."""
        self._partials, self._bytes, self._compact_at = [], 0, _COMPACT_ROWS

    def share(self, db: Database) -> None:
        """Let other commands write to the build, too: a sequence numbers everybody's flushes."""
        last = self._last(db)
        db.execute(sql.SQL("CREATE SEQUENCE IF NOT EXISTS {}").format(self._numbers))
        db.execute("SELECT setval(%s::regclass, %s)", (self._numbers.as_string(db), last + 1))

    def finish(self, db: Database) -> None:
        """Give the table its key, merge later flushes into it, and give it its indexes, through any connection. Repeating this changes nothing."""
        if not self._has_key(db):
            tables.add_key(db, self.layout, self.build)
        db.execute(sql.SQL("DROP SEQUENCE IF EXISTS {}").format(self._numbers))
        for suffix in self._beside(db):
            merge_sql.add_from(db, self.layout, self.build.schema, suffix)
            for one in self.layout.tables:
                db.execute(sql.SQL("DROP TABLE {}").format(self._table(one, suffix)))
        if self.build.purpose != "verifying":  # nobody reads its table
            indexes.add_all(db, self.layout, self.build)
        self._analyze(db)

    def _analyze(self, db: Database) -> None:
        """Tell Postgres how the values are spread. No query asks for the columns of order: they are the widest ones."""
        orders = {part.order for part in self.layout.columns}
        for one in self.layout.tables:
            asked = [sql.Identifier(name) for name in one.names if name not in orders]
            table = names.table(one, self.build.schema)
            db.execute(sql.SQL("ANALYZE {} ({})").format(table, sql.SQL(", ").join(asked)))

    def _evolve(self, batch: Batch, frames: Frames) -> None:
        with self._notes.of(batch.chunks) if self._notes is not None else nullcontext() as tell:
            target = EvolveTarget(self.layout, self.build.number, tell)
            found = evolve_batch(target, batch, frames, self._parked, self._load)
        self._held |= found.rows
        self._changed |= found.rows
        self._parks += found.parks
        for stream, number in found.waiting.items():
            name = batch.category, stream
            self._waiting[name] = self._waiting.get(name, 0) + number
        self._parked += found.parks

    def _load(self, streams: list[str]) -> dict[str, HeldRow]:
        unknown = [stream for stream in streams if stream not in self._held]
        stored = load_rows(self._db, self.layout, self.build, unknown) if unknown else {}
        return {**stored, **{stream: self._held[stream] for stream in streams if stream in self._held}}

    def _copy_beside(self, db: Database, rows: Mapping[str, Values]) -> None:
        suffix = f"{_FLUSH}{self._number(db):0{_DIGITS}d}"
        for one in self.layout.tables:
            made = sql.SQL("CREATE TABLE {} (LIKE {})")
            db.execute(made.format(self._table(one, suffix), names.table(one, self.build.schema)))
        self._copy(db, suffix, rows)

    def _number(self, db: Database) -> int:
        """A number that no flush of the build has yet, above those of all flushes that are committed."""
        if self.shared:
            row = db.execute("SELECT nextval(%s::regclass)", (self._numbers.as_string(db),)).fetchone()
            assert row is not None
            return int(row[0])
        return self._last(db) + 1

    def _last(self, db: Database) -> int:
        """The number of the last flush beside the table; 0 if there is none."""
        suffixes = self._beside(db)
        return int(suffixes[-1].removeprefix(_FLUSH)) if suffixes else 0

    @property
    def _numbers(self) -> sql.Identifier:
        return sql.Identifier(self.build.schema, "_flushes")

    def _copy(self, db: Database, suffix: str, rows: Mapping[str, Values]) -> None:
        """Copy rows into the model's table and its sides, or into those with the suffix."""
        most = self._holding.slice_rows or merge_sql.SLICE_ROWS
        all_rows = [rows, *side_rows(self.layout, rows)]
        for one, of_it in zip(self.layout.tables, all_rows, strict=True):
            merge_sql.copy(db, one, self._table(one, suffix), of_it, most, self._holding.rest)

    def _table(self, one: Layout, suffix: str) -> sql.Identifier:
        return sql.Identifier(self.build.schema, f"{one.table_name}{suffix}")

    def _beside(self, db: Database) -> list[str]:
        """The suffixes of later flushes, in order."""
        rows = db.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' AND relname LIKE %s ORDER BY length(relname), 1",
            (self.build.schema, f"{self.layout.name}\\{_FLUSH}%"),
        ).fetchall()
        return [row[0].removeprefix(self.layout.name) for row in rows]

    @property
    def has_key(self) -> bool:
        """Whether the table has its key, so that later rows are merged into it at once."""
        return self._has_key(self._db)

    def _has_key(self, db: Database) -> bool:
        query = "SELECT FROM pg_index WHERE indisunique AND indrelid = (quote_ident(%s) || '.' || quote_ident(%s))::regclass"
        return db.execute(query, (self.build.schema, self.layout.name)).fetchone() is not None

    def _is_first(self, db: Database) -> bool:
        """Whether a flush may go into the table itself. Of several commands one at a time may, until its transaction ends."""
        if self.shared:
            row = db.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", (_FIRST_LOCK, self.build.number)).fetchone()
            if row is None or not row[0]:
                return False
        return not self._has_rows(db) and not self._beside(db)

    def _has_rows(self, db: Database) -> bool:
        table = names.table(self.layout, self.build.schema)
        return db.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(table)).fetchone() is not None
