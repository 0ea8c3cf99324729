"""A build of some keys alone: it leaves out every event that is added to another row."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import polars as pl

from refold.projections.declaring.declaration import EventType, handled
from refold.projections.partials.batch import Batch, Counted, Park
from refold.projections.partials.partial import Frames
from refold.projections.partials.touched import key_columns, keys_of
from refold.projections.replay.staging import Staging
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout
from refold.schemas.columns.decoder import ROW
from refold.schemas.columns.picking import Pick, Picks
from refold.streams.postgres.connection import Database

_PLACE = "m_row_of_keys"


class KeyedStaging(Staging):
    """Folds only the events of the given keys, by the engine that folds the whole model."""

    def __init__(self, db: Database, layout: Layout, build: Build, parked: Sequence[Park], keys: pl.DataFrame) -> None:
        """`keys`: a column for each key column."""
        super().__init__(db, layout, build, parked)
        self._keys, self._kinds = keys, frozenset(handled(layout.model))

    @property
    def picks(self) -> Picks:
        """Which records of each event type are worth decoding; none is left out if values are carried from other records."""
        if self._remembering.is_needed:
            return {}
        return {
            (kind.category.name, kind.event.__name__): Pick(key_columns(self.layout), partial(self._wanted_of, kind))
            for kind in self._kinds
        }

    def add(self, counted: Mapping[str, tuple[Batch, Counted]]) -> None:
        if self._remembering.is_needed:  # an event's key may be carried from one that is of no row
            super().add(counted)
            return
        super().add({name: (batch, self._of_keys(found)) for name, (batch, found) in counted.items()})

    def _of_keys(self, found: Counted) -> Counted:
        frames = {kind: self._only(kind, frame) for kind, frame in found.frames.items() if kind in self._kinds}
        return replace(found, frames=_some(frames))

    def _carried(self, frames: Frames) -> Frames:
        found = super()._carried(frames)
        if not self._remembering.is_needed:
            return found
        return _some({kind: self._only(kind, frame) for kind, frame in found.items() if kind in self._kinds})

    def _only(self, kind: EventType, frame: pl.DataFrame) -> pl.DataFrame:
        if frame.is_empty():
            return frame
        return frame[self._wanted(kind, frame)]

    def _wanted_of(self, kind: EventType, columns: pl.DataFrame) -> pl.Series:
        return self._wanted(kind, columns.with_row_index(ROW))

    def _wanted(self, kind: EventType, frame: pl.DataFrame) -> pl.Series:
        """The places of the events that are added to the given keys, ascending."""
        keys = keys_of(self.layout, kind, frame).with_row_index(_PLACE)
        return keys.join(self._keys, on=self.layout.key_names, how="semi", nulls_equal=True)[_PLACE].sort()


def _some(frames: Frames) -> Frames:
    return {kind: frame for kind, frame in frames.items() if frame.height}
