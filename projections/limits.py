"""What bounds a fold of the models: the core's positions, the offsets it found void, and the streams that are parked."""

from collections.abc import Sequence
from dataclasses import dataclass

from refold.projections.batch import Park
from refold.streams.chunk import Chunk, Place
from refold.streams.core_limits import Voids, core_limits
from refold.streams.postgres import Database


@dataclass(frozen=True)
class Limits:
    """Read in one transaction, the positions first: the voids before a position were written with it."""

    core: dict[Place, int]
    voids: Voids
    parked: list[Park]


def limits(db: Database, chunks: Sequence[Chunk]) -> Limits:
    """The limits of some chunks."""
    core, voids = core_limits(db, chunks)
    return Limits(core, voids, parked(db))


def parked(db: Database) -> list[Park]:
    """All parked streams."""
    rows = db.execute("SELECT build, category, stream, part, first_offset, code, reason FROM refold.parked").fetchall()
    return [Park(*row) for row in rows]
