"""Picks the records of a schema that are worth decoding, by a few columns, after a compiled loop has checked every field of all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refold.schemas.columns.compiled import loaded
from refold.schemas.columns.layout import Layout
from refold.schemas.columns.sliced_column import SlicedColumn


@dataclass(frozen=True)
class Pick:
    """Which records of an event type somebody wants. `wanted` gets `columns` of some, and returns the places of those in the frame, ascending."""

    columns: frozenset[str]
    wanted: Callable[[pl.DataFrame], pl.Series]


Picks = Mapping[tuple[str, str], Pick]
"""By category and name of an event type."""


class Picker:
    """Picks records of one schema."""

    def __init__(self, layout: Layout, pick: Pick) -> None:
        from refold.schemas.columns.projection import Projection, can_project

        self._pick, names = pick, {leaf.name for leaf in layout.leaves}
        possible = can_project(layout) and bool(pick.columns) and pick.columns <= names
        self._keys = Projection(layout, list(pick.columns), storable=True) if possible else None

    def __call__(self, values: Sequence[bytes | None], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The wanted ones of these rows; all of them if there is no loop, or if it doubts any: whoever decodes them judges."""
        if self._keys is None or not isinstance(values, SlicedColumn):
            return rows
        frame = self._keys.read(values, rows)
        return rows if frame is None else rows[self._pick.wanted(frame).to_numpy()]


def picker_of(layout: Layout, pick: Pick | None) -> Picker | None:
    """A picker, if anything is to be picked and the compiled loops are loaded."""
    return None if pick is None or loaded() is None else Picker(layout, pick)
