"""The limits of a models fold: the core's positions, the offsets of voids, and the parked streams."""

from collections.abc import Sequence
from dataclasses import dataclass

from refold.projections.partials.batch import Park
from refold.streams.chunk import Chunk, Place
from refold.streams.core.limits import CoreLimits, Voids
from refold.streams.postgres.connection import Rows, Statements


@dataclass(frozen=True)
class FoldLimits:
    """The limits, read in one transaction, positions first: each void below a position was committed with it."""

    core: dict[Place, int]
    voids: Voids
    parked: list[Park]

    def offered(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """The part of the chunks that may be folded: everything that the core has already judged."""
        return [cut for cut in (chunk.upto(self.core.get(chunk.place, 0)) for chunk in chunks) if cut.values]


class AskedLimits:
    """The limits of some chunks, asked for at once."""

    def __init__(self, db: Statements, chunks: Sequence[Chunk]) -> None:
        self._core, self._parked = CoreLimits(db, chunks), _ask_parked(db)

    def answer(self) -> FoldLimits:
        """The limits, once Postgres has answered."""
        return FoldLimits(*self._core.answer(), _parks(self._parked))


def limits(db: Statements, chunks: Sequence[Chunk]) -> FoldLimits:
    """Ask for the limits of some chunks and wait for the answer."""
    return AskedLimits(db, chunks).answer()


def parked(db: Statements) -> list[Park]:
    """All parked streams."""
    return _parks(_ask_parked(db))


def _ask_parked(db: Statements) -> Rows:
    return db.execute("SELECT build, category, stream, part, first_offset, code, reason FROM refold.parked")


def _parks(rows: Rows) -> list[Park]:
    return [Park(*row) for row in rows.fetchall()]
