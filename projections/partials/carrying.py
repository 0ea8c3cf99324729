"""Adds carried values to events: what earlier events of their streams said. Pure, by columns and by rows.

Invariant: a carried value depends on the stream's own events alone, in the order of their places in it. Memory rows are
looked up by place, so it does not matter which later ones are among them, or in which order they were found.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from refold.projections.declaring.declaration import EventType
from refold.projections.partials.by_rows import partial_columns
from refold.projections.partials.partial import Frames, partial_of
from refold.projections.partials.places import PLACE, PLACES, placed
from refold.projections.partials.row_values import Row
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import PART, STREAM, VERSION, Memory, memories_of
from refold.schemas.columns import envelope as m
from refold.schemas.columns.upcast import SUB

Remembered = Mapping[int, pl.DataFrame]
"""Rows of memories, by the memory's number."""
_AT, _MEMORY_PLACE = "m_head", "m_memory_place"


def new_memories(layout: Layout, frames: Frames) -> dict[int, pl.DataFrame]:
    """What the events add to each memory of the model."""
    return {memory.layout.number: partial_of(memory.layout, frames) for memory in memories_of(layout)}


def streams_of(memory: Memory, frames: Frames) -> list[str]:
    """The streams whose earlier events may have said what is carried to these ones: none of a stream that begins here."""
    heads = [frames[kind].select(m.STREAM, m.VERSION) for kind in memory.users if kind in frames]
    if not heads:
        return []
    first = pl.concat([*heads, *_begun(memory, frames)]).group_by(m.STREAM).agg(pl.col(m.VERSION).min())
    return first.filter(pl.col(m.VERSION) > 1)[m.STREAM].sort().to_list()


def _begun(memory: Memory, frames: Frames) -> list[pl.DataFrame]:
    """Sources count only where a user follows, and a stream's first event shows that nothing came before."""
    return [
        frames[kind].filter(pl.col(m.VERSION) == 1).select(m.STREAM, m.VERSION)
        for kind in memory.sources
        if kind in frames
    ]


def carried(layout: Layout, frames: Frames, remembered: Remembered) -> dict[EventType, pl.DataFrame]:
    """The events with the values that are carried to them. `remembered`: all that their streams said, as far as it matters."""
    found = dict(frames)
    for memory in memories_of(layout):
        rows = remembered[memory.layout.number]
        said = rows.select(
            pl.col(STREAM).alias(m.STREAM),
            (pl.col(VERSION).cast(pl.Int64) * PLACES + pl.col(PART)).alias(_MEMORY_PLACE),
            *(pl.col(name).alias(column) for name, column in memory.cells.items()),
        )
        is_single = said[m.STREAM].is_unique().all()
        said = said if is_single else said.sort(_MEMORY_PLACE)
        for kind in memory.users:
            if kind in found:
                found[kind] = (_of_single if is_single else _of_latest)(placed(found[kind]), said, memory)
    return found


def _of_single(frame: pl.DataFrame, said: pl.DataFrame, memory: Memory) -> pl.DataFrame:
    """No stream has said it twice, as is usual: a join by stream is enough, and thrice as fast."""
    joined = frame.join(said, on=m.STREAM, how="left", maintain_order="left")
    columns = list(memory.cells.values())
    before = pl.col(_MEMORY_PLACE) <= pl.col(PLACE)
    return joined.with_columns(pl.when(before).then(pl.col(columns))).drop(_MEMORY_PLACE)


def _of_latest(frame: pl.DataFrame, said: pl.DataFrame, memory: Memory) -> pl.DataFrame:
    heads = frame.select(m.STREAM, PLACE).with_row_index(_AT).sort(PLACE)
    joined = heads.join_asof(
        said, left_on=PLACE, right_on=_MEMORY_PLACE, by=m.STREAM, strategy="backward", check_sortedness=False
    )
    return frame.with_columns(joined.sort(_AT).select(memory.cells.values()))


RowsOf = Mapping[EventType, Sequence[Row]]


def new_memory_rows(layout: Layout, events: RowsOf) -> dict[int, dict[str, list[Any]]]:
    """`new_memories` of a few events as rows."""
    return {memory.layout.number: partial_columns(memory.layout, events) for memory in memories_of(layout)}


def streams_of_rows(memory: Memory, events: RowsOf) -> list[str]:
    """`streams_of` of a few events as rows."""
    users, begun = set[str](), set[str]()
    for kind in {*memory.users, *memory.sources}:
        for event in events.get(kind, ()):
            if event[m.VERSION] == 1:
                begun.add(event[m.STREAM])
            if kind in memory.users:
                users.add(event[m.STREAM])
    return sorted(users - begun)


def carried_rows(
    layout: Layout, events: RowsOf, remembered: Mapping[int, Iterable[Mapping[str, Any]]]
) -> dict[EventType, Sequence[Row]]:
    """`carried` of a few events as rows."""
    found: dict[EventType, Sequence[Row]] = dict(events)
    for memory in memories_of(layout):
        said: dict[str, list[Mapping[str, Any]]] = {}
        for row in sorted(remembered[memory.layout.number], key=_memory_place):
            said.setdefault(row[STREAM], []).append(row)
        for kind in memory.users:
            if kind in found:
                found[kind] = [event | _latest(memory, said.get(event[m.STREAM], ()), event) for event in found[kind]]
    return found


def _latest(memory: Memory, said: Sequence[Mapping[str, Any]], event: Row) -> Row:
    place = event[m.VERSION] * PLACES + int(event.get(SUB) or 0)
    at = bisect_right(said, place, key=_memory_place)
    return {column: said[at - 1][name] if at else None for name, column in memory.cells.items()}


def _memory_place(row: Mapping[str, Any]) -> int:
    return int(row[VERSION]) * PLACES + int(row[PART] or 0)


def rows_in(columns: Mapping[str, Sequence[Any]]) -> list[Row]:
    """Rows of columns."""
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
