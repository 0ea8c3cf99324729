"""A build of some keys alone: it leaves out every event that is added to another row."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from refold.projections.declaring.declaration import EventType, handled
from refold.projections.partials.batch import Batch, Counted, Park
from refold.projections.partials.partial import Frames
from refold.projections.partials.touched import keys_of
from refold.projections.replay.staging import Staging
from refold.projections.tables.builds import Build
from refold.projections.tables.layout import Layout
from refold.streams.postgres.connection import Database

_PLACE = "m_row_of_keys"


class KeyedStaging(Staging):
    """Folds only the events of the given keys, by the engine that folds the whole model."""

    def __init__(self, db: Database, layout: Layout, build: Build, parked: Sequence[Park], keys: pl.DataFrame) -> None:
        """`keys`: a column for each key column."""
        super().__init__(db, layout, build, parked)
        self._keys, self._kinds = keys, frozenset(handled(layout.model))

    def add(self, counted: Mapping[str, tuple[Batch, Counted]]) -> None:
        super().add({name: (batch, self._of_keys(found)) for name, (batch, found) in counted.items()})

    def _of_keys(self, found: Counted) -> Counted:
        frames = {kind: self._only(kind, frame) for kind, frame in found.frames.items() if kind in self._kinds}
        return replace(found, frames=_some(frames))

    def _only(self, kind: EventType, frame: pl.DataFrame) -> pl.DataFrame:
        if frame.is_empty():
            return frame
        keys = keys_of(self.layout, kind, frame).with_row_index(_PLACE)
        places = keys.join(self._keys, on=self.layout.key_names, how="semi", nulls_equal=True)[_PLACE]
        return frame[places.sort()]


def _some(frames: Frames) -> Frames:
    return {kind: frame for kind, frame in frames.items() if frame.height}
