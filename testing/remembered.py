"""The memories of a model whose rows are folded in memory, for the values that it carries within streams."""

from collections.abc import Mapping, Sequence

import polars as pl

from refold.projections.declaring.declaration import EventType
from refold.projections.partials.carrying import carried, carried_rows, new_memories, new_memory_rows, rows_in
from refold.projections.partials.memory_sql import as_frame
from refold.projections.partials.partial import Frames
from refold.projections.partials.row_values import Row
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import memories_of


class Remembered:
    """What the events so far said: both ways of folding add to it and read it, as they do to a table."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rows: dict[int, list[Row]] = {memory.layout.number: [] for memory in memories_of(layout)}

    def carry(self, frames: Frames) -> Frames:
        """Events with what is carried to them."""
        for number, new in new_memories(self._layout, frames).items():
            self._rows[number] += new.to_dicts()
        said: dict[int, pl.DataFrame] = {
            memory.layout.number: as_frame(memory.layout, self._rows[memory.layout.number])
            for memory in memories_of(self._layout)
        }
        return carried(self._layout, frames, said)

    def carry_rows(self, events: Mapping[EventType, Sequence[Row]]) -> Mapping[EventType, Sequence[Row]]:
        """The same of events as rows."""
        for number, new in new_memory_rows(self._layout, events).items():
            self._rows[number] += rows_in(new)
        return carried_rows(self._layout, events, self._rows)
