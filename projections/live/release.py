"""Releases a parked stream: folds its waiting events in order, in the transaction that removes the park."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from refold.projections.errors import NotParked, RebuildUnfinished
from refold.projections.live import parking
from refold.projections.live.limits import parked
from refold.projections.live.member import detaching, write
from refold.projections.live.models import ModelsFold
from refold.projections.partials.batch import ALL_BUILDS, Batch, Park
from refold.projections.tables import builds
from refold.projections.tables.builds import GROUP, Build
from refold.projections.tables.layout import Layout
from refold.streams.chunk import Place
from refold.streams.core.limits import group_positions
from refold.streams.errors import StillUnreadable
from refold.streams.log.history import NEWEST, History
from refold.streams.postgres import set_aside
from refold.streams.postgres.connection import Database

Places = list[tuple[int, int]]
Read = Callable[[str, Places], Sequence[bytes | None]]
"""Reads the values at (partition, offset) of a category's events."""


@dataclass(frozen=True)
class Released:
    """A park that was removed. `build` is 0 if the stream waited for all read models."""

    category: str
    stream: str
    build: int
    code: str
    events: int


def release(fold: ModelsFold, topic: str, category: str, stream: str, read: Read) -> list[Released]:
    """Fold the waiting events and remove the stream's parks.

    Raises NotParked, StillUnreadable, RebuildUnfinished, ModelFailed. Invariant: no position moves under the group's
    exclusive lock, so the waiting events are exactly those between park and position.
    """
    db = fold.db
    with db.transaction():
        builds.lock_exclusive(db)
        there = builds.builds(db)
        tables, lacking = _tables(fold, there)
        kept = [*lacking, *(build for build in there if build.purpose == "as-of")]
        parks = _parks(db, category, stream, kept)
        if not parks:
            raise NotParked(f"{category} {stream} does not wait")
        _refuse_unfinished(db, there)
        _forget(db, topic, category, stream, parks)
        _leave_for_others(db, parks, lacking)
        stands = group_positions(db, GROUP)
        offsets = History.offsets(db, category, stream, after=0, upto=NEWEST)
        passed = [(part, at) for part, at in offsets if at < stands.get((topic, part), 0)]
        done = [
            _fold(fold, tables, park, [place for place in passed if place[1] >= park.first_offset], read)
            for park in parks
        ]
        for left in _parks(db, category, stream, kept):
            raise StillUnreadable(f"{category} {stream}: {left.code}: {left.reason}")
    return done


@dataclass(frozen=True)
class _Table:
    """A table that this code can write. `stands`: its own positions if it is set apart; None if it has the group's."""

    build: Build
    layout: Layout
    stands: dict[Place, int] | None

    def passed(self, topic: str, places: Places) -> Places:
        """The places that the table has passed. Its follower reads the later ones."""
        if self.stands is None:
            return places
        return [(part, at) for part, at in places if at < self.stands.get((topic, part), 0)]


def _tables(fold: ModelsFold, there: Sequence[Build]) -> tuple[list[_Table], list[Build]]:
    """The tables that this code can write, and the builds of other code, which this sets apart."""
    db = fold.db
    members, lacking = fold.divided(there)
    for build in lacking:
        builds.detach_within(db, build, builds.OTHER_CODE, "this code declares it otherwise, or not at all")
    followed = fold.apart(there)
    known = {build.number for build, _ in followed}
    lacking += [build for build in there if build.is_apart and build.number not in known]
    tables = [_Table(build, layout, None) for build, layout in members]
    tables += [_Table(build, layout, group_positions(db, build.group)) for build, layout in followed]
    return tables, lacking


def _leave_for_others(db: Database, parks: Sequence[Park], lacking: Sequence[Build]) -> None:
    """Let streams that waited for all models go on waiting for builds of other code, whose rows lack the waiting events."""
    for build in lacking:
        parking.park(db, [replace(park, build=build.number) for park in parks if park.build == ALL_BUILDS], {})


def _fold(fold: ModelsFold, tables: Sequence[_Table], park: Park, places: Places, read: Read) -> Released:
    topic = fold.topic(park.category)
    together: dict[tuple[tuple[int, int], ...], list[_Table]] = {}
    for table in tables:
        if park.build in (ALL_BUILDS, table.build.number):
            together.setdefault(tuple(table.passed(topic, places)), []).append(table)
    for theirs, some in together.items():
        batch = _batch(park.category, list(theirs), read)
        counted = fold.decoded(batch)
        for fault in counted.parks:
            raise StillUnreadable(f"{park.category} {park.stream}: {fault.code}: {fault.reason}")
        for table in some:
            with detaching(table.build, table.layout):
                write(fold.db, table.build, table.layout, {park.category: (batch, counted)}, [])
    return Released(park.category, park.stream, park.build, park.code, len(places))


def _batch(category: str, places: Places, read: Read) -> Batch:
    offsets = np.array([offset for _, offset in places], np.int64)
    parts = np.array([part for part, _ in places], np.int32)
    return Batch(category, (), read(category, places) if places else [], offsets, parts)


def _parks(db: Database, category: str, stream: str, kept: Sequence[Build]) -> list[Park]:
    """The stream's parks without those of builds of other code, and of an as-of: these rows go on without the waiting events.

    Single builds come first: they wait for all that `all` waits for.
    """
    theirs = {build.number for build in kept}
    found = [park for park in parked(db) if (park.category, park.stream) == (category, stream)]
    return sorted((park for park in found if park.build not in theirs), key=lambda park: -park.build)


def _refuse_unfinished(db: Database, there: Sequence[Build]) -> None:
    for build in there:
        if build.purpose == "as-of":
            continue  # it tells how many streams wait in it
        if build.purpose == "preparing":
            raise RebuildUnfinished(
                f"build {build.number} of {build.model} is being prepared for a deploy",
                "Wait until it is prepared. If the command was killed, run it again, or run `refold replay prune --unpromoted --execute`.",
            )
        if build.purpose is not None:
            if builds.given_up(db, build):
                continue  # its command was killed; resumed, it would lack the events that are released here
            doing = "previewed" if build.purpose == "previewing" else "verified"
            raise RebuildUnfinished(
                f"build {build.number} of {build.model} is being {doing}", "Wait until that command ends."
            )
        if build.status == "building":
            raise RebuildUnfinished(f"build {build.number} of {build.model} is not done")


def _forget(db: Database, topic: str, category: str, stream: str, parks: Sequence[Park]) -> None:
    """Remove the parks, and the stream's records from those that are set aside."""
    parking.let_go(db, category, stream, [park.build for park in parks])
    set_aside.forget(db, topic, category, stream, models=True)
