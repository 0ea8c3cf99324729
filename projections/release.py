"""Letting a parked stream go on: all that waits is folded, in order, in the transaction that takes the park away."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from refold.projections import builds
from refold.projections.batch import ALL_BUILDS, Batch, Counted, Park
from refold.projections.builds import GROUP
from refold.projections.errors import NotParked, RebuildUnfinished
from refold.projections.limits import parked
from refold.projections.member import detaching, write
from refold.projections.models import ModelsFold
from refold.streams import set_aside
from refold.streams.core_limits import group_positions
from refold.streams.errors import StillUnreadable
from refold.streams.history import NEWEST, History
from refold.streams.postgres import Database

Places = list[tuple[int, int]]
Read = Callable[[str, Places], Sequence[bytes | None]]
"""The values at (partition, offset) of a category's events."""


@dataclass(frozen=True)
class Released:
    """A park that is gone. `build` is 0 where the stream waited for all read models."""

    category: str
    stream: str
    build: int
    code: str
    events: int


def release(fold: ModelsFold, topic: str, category: str, stream: str, read: Read) -> list[Released]:
    """Fold what waits and take the stream's parks away. Raises NotParked, StillUnreadable, RebuildUnfinished, ModelFailed.

    Invariant: under the group's exclusive lock no position moves, so what waits is exactly what lies between park and position.
    """
    db = fold.db
    with db.transaction():
        builds.lock_exclusive(db)
        parks = _parks(db, category, stream)
        if not parks:
            raise NotParked(f"{category} {stream} does not wait")
        _refuse_unfinished(db)
        _forget(db, topic, category, stream)
        stands = group_positions(db, GROUP)
        offsets = History.offsets(db, category, stream, after=0, upto=NEWEST)
        passed = [(part, at) for part, at in offsets if at < stands.get((topic, part), 0)]
        done = [_fold(fold, park, [place for place in passed if place[1] >= park.first_offset], read) for park in parks]
        for left in _parks(db, category, stream):
            raise StillUnreadable(f"{category} {stream}: {left.code}: {left.reason}")
    return done


def _fold(fold: ModelsFold, park: Park, places: Places, read: Read) -> Released:
    batch = _batch(park.category, places, read)
    counted = fold.decoded(batch)
    for fault in counted.parks:
        raise StillUnreadable(f"{park.category} {park.stream}: {fault.code}: {fault.reason}")
    _write(fold, park, batch, counted)
    return Released(park.category, park.stream, park.build, park.code, len(places))


def _write(fold: ModelsFold, park: Park, batch: Batch, counted: Counted) -> None:
    for build, layout in fold.members():
        if park.build in (ALL_BUILDS, build.number):
            with detaching(build, layout):
                write(fold.db, build, layout, {park.category: (batch, counted)}, [])


def _batch(category: str, places: Places, read: Read) -> Batch:
    offsets = np.array([offset for _, offset in places], np.int64)
    parts = np.array([part for part, _ in places], np.int32)
    return Batch(category, (), read(category, places) if places else [], offsets, parts)


def _parks(db: Database, category: str, stream: str) -> list[Park]:
    """Those of single builds first: what they wait for includes what all wait for."""
    found = [park for park in parked(db) if (park.category, park.stream) == (category, stream)]
    return sorted(found, key=lambda park: -park.build)


def _refuse_unfinished(db: Database) -> None:
    for build in builds.builds(db):
        if build.status == "building":
            raise RebuildUnfinished(f"build {build.number} of {build.model} is not done")


def _forget(db: Database, topic: str, category: str, stream: str) -> None:
    """Take the parks away, and the stream's records from those that are set aside."""
    db.execute("DELETE FROM refold.parked WHERE category = %s AND stream = %s", (category, stream))
    set_aside.forget(db, topic, category, stream, models=True)
