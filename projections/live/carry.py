"""Carries values within streams in a transaction of the live fold: asks the build's memories, and adds to them.

Invariant: a build's memories are written in the transaction that writes its rows, so both stand at one position. So
what they say before an event is all that its stream said, however the log was cut into chunks.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from refold.projections.declaring.declaration import EventType
from refold.projections.partials import memory_sql, merge_sql
from refold.projections.partials.carrying import (
    carried,
    carried_rows,
    new_memories,
    new_memory_rows,
    rows_in,
    streams_of,
    streams_of_rows,
)
from refold.projections.partials.partial import Frames
from refold.projections.partials.row_values import Row
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import memories_of
from refold.schemas.columns import envelope as m
from refold.streams.postgres.connection import Statements


def carry(db: Statements, layout: Layout, schema: str, frames: Frames) -> Frames:
    """Events of a batch with what is carried to them; the batch is remembered."""
    memories = memories_of(layout)
    if not memories or not frames:
        return frames
    added, remembered = new_memories(layout, frames), dict[int, pl.DataFrame]()
    for memory in memories:
        known = memory_sql.latest(db, memory.layout, schema, streams_of(memory, frames))
        new = added[memory.layout.number]
        remembered[memory.layout.number] = pl.concat([memory_sql.as_frame(memory.layout, known), new])
        merge_sql.add(db, memory.layout, schema, new)
    return carried(layout, frames, remembered)


def carry_rows(
    db: Statements, layout: Layout, schema: str, events: Mapping[EventType, Sequence[Row]]
) -> Mapping[EventType, Sequence[Row]]:
    """`carry` of a few events as rows."""
    memories = memories_of(layout)
    if not memories or not any(events.get(kind) for one in memories for kind in (*one.users, *one.sources)):
        return events
    added, remembered = new_memory_rows(layout, events), dict[int, list[Row]]()
    for memory in memories:
        known = memory_sql.latest(db, memory.layout, schema, streams_of_rows(memory, events))
        new = added[memory.layout.number]
        remembered[memory.layout.number] = [*known, *rows_in(new)]
        merge_sql.add(db, memory.layout, schema, new)
    return carried_rows(layout, events, remembered)


def recalled(db: Statements, layout: Layout, schema: str, frames: Frames) -> Frames:
    """Events that the build has folded, with what was carried to them; nothing is written."""
    remembered = dict[int, pl.DataFrame]()
    for memory in memories_of(layout):
        streams = {stream for kind in memory.users if kind in frames for stream in frames[kind][m.STREAM].unique()}
        rows = memory_sql.every(db, memory.layout, schema, sorted(streams))
        remembered[memory.layout.number] = memory_sql.as_frame(memory.layout, rows)
    return carried(layout, frames, remembered) if remembered else frames


def recalled_rows(
    db: Statements, layout: Layout, schema: str, events: Mapping[EventType, Sequence[Row]]
) -> Mapping[EventType, Sequence[Row]]:
    """`recalled` of a few events as rows."""
    remembered = dict[int, list[Row]]()
    for memory in memories_of(layout):
        streams = {event[m.STREAM] for kind in memory.users for event in events.get(kind, ())}
        remembered[memory.layout.number] = memory_sql.every(db, memory.layout, schema, sorted(streams))
    return carried_rows(layout, events, remembered) if remembered else events
