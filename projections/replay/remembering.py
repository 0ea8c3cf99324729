"""What a build in the making remembers for carried values: in memory, and in the build's tables once there is much of it.

The last row of each stream stays in memory while there is room. Then streams that a batch meets again are looked up in
the tables: one statement a batch.
"""

import polars as pl

from refold.projections.partials import memory_sql, merge_sql
from refold.projections.partials.carrying import carried, new_memories, streams_of
from refold.projections.partials.partial import Frames
from refold.projections.replay.memory import ROOM
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import PART, STREAM, VERSION, Memory, memories_of
from refold.projections.tables.names import table
from refold.streams.postgres.connection import Database

KEPT_BYTES = ROOM // 4
"""Most bytes of streams' last rows that a flush leaves in memory: about two hundred thousand streams."""


class _OfMemory:
    """One memory: `pending` is not written yet, `last` has the last row of streams, of all of them if `whole`."""

    def __init__(self, db: Database, memory: Memory, build: Build) -> None:
        self._db, self._memory, self._build = db, memory, build
        self._pending: list[pl.DataFrame] = []
        self._recent: list[pl.DataFrame] = []
        self._last: pl.DataFrame = memory_sql.as_frame(memory.layout, [])
        self._whole: bool | None = None
        self._compact_at = 100_000

    @property
    def size(self) -> int:
        """Bytes that a flush frees."""
        kept = sum(int(rows.estimated_size()) for rows in (*self._recent, self._last))
        return sum(int(rows.estimated_size()) for rows in self._pending) + (kept if kept > KEPT_BYTES else 0)

    def take(self, frames: Frames, new: pl.DataFrame) -> pl.DataFrame:
        """What matters for these events: the new rows, and the last one of each of their streams before."""
        streams = streams_of(self._memory, frames)
        before = self._before(pl.DataFrame({STREAM: streams}, schema={STREAM: pl.String})) if streams else []
        if new.height:
            self._pending.append(new)
            self._keep(new)
        return pl.concat([*before, new])

    def _before(self, streams: pl.DataFrame) -> list[pl.DataFrame]:
        known = [rows.join(streams, on=STREAM, how="semi") for rows in (self._last, *self._recent)]
        if self._is_whole():
            return known
        left = streams
        for rows in known:
            left = left.join(rows, on=STREAM, how="anti")
        found = memory_sql.latest(self._db, self._memory.layout, self._build.schema, left[STREAM].to_list())
        asked = memory_sql.as_frame(self._memory.layout, found)
        if asked.height:
            self._keep(asked)
        return [*known, asked]

    def _is_whole(self) -> bool:
        if self._whole is None:  # a command that goes on after a kill finds rows there
            query = b"SELECT FROM " + table(self._memory.layout, self._build.schema).as_bytes() + b" LIMIT 1"
            self._whole = self._db.execute(query).fetchone() is None
        return self._whole

    def _keep(self, rows: pl.DataFrame) -> None:
        self._recent.append(rows)
        if sum(one.height for one in self._recent) > self._compact_at:
            self._compact()

    def _compact(self) -> None:
        rows = pl.concat([self._last, *self._recent]).sort(VERSION, PART)
        self._last, self._recent = rows.unique(STREAM, keep="last"), []
        self._compact_at = max(100_000, self._last.height // 2)

    def flush(self, db: Database) -> None:
        """Write what is not written, within the caller's transaction, through any connection."""
        self._is_whole()
        layout, schema = self._memory.layout, self._build.schema
        if self._pending:
            merge_sql.copy(db, layout, table(layout, schema), pl.concat(self._pending))
            self._pending = []
        self._compact()
        if self._last.estimated_size() > KEPT_BYTES:
            self._last, self._whole = self._last.clear(), False


class Remembering:
    """The memories of one build in the making; none for a model that carries nothing."""

    def __init__(self, db: Database, layout: Layout, build: Build) -> None:
        self._layout = layout
        self._each = {one.layout.number: _OfMemory(db, one, build) for one in memories_of(layout)}

    @property
    def is_needed(self) -> bool:
        """Whether the model carries values."""
        return bool(self._each)

    @property
    def size(self) -> int:
        """Bytes in memory that a flush frees."""
        return sum(one.size for one in self._each.values())

    def carry(self, frames: Frames) -> Frames:
        """The events of a batch with what is carried to them; the batch is remembered."""
        if not self._each:
            return frames
        added = new_memories(self._layout, frames)
        return carried(
            self._layout, frames, {number: one.take(frames, added[number]) for number, one in self._each.items()}
        )

    def flush(self, db: Database) -> None:
        """Write what is not written yet, within the caller's transaction."""
        for one in self._each.values():
            one.flush(db)
