"""What bounds a fold of the models: the core's positions, the offsets it found void, and the streams that are parked."""

from collections.abc import Sequence
from dataclasses import dataclass

from refold.projections.partials.batch import Park
from refold.streams.chunk import Chunk, Place
from refold.streams.core.limits import CoreLimits, Voids
from refold.streams.postgres.connection import Rows, Statements


@dataclass(frozen=True)
class Limits:
    """Read in one transaction, the positions first: the voids before a position were written with it."""

    core: dict[Place, int]
    voids: Voids
    parked: list[Park]

    def offered(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """What of the chunks may be folded: nothing that the core has not judged yet."""
        return [cut for cut in (chunk.upto(self.core.get(chunk.place, 0)) for chunk in chunks) if cut.values]


class AskedLimits:
    """The limits of some chunks, asked for at once."""

    def __init__(self, db: Statements, chunks: Sequence[Chunk]) -> None:
        self._core, self._parked = CoreLimits(db, chunks), _ask_parked(db)

    def answer(self) -> Limits:
        """All of them."""
        return Limits(*self._core.answer(), _parks(self._parked))


def limits(db: Statements, chunks: Sequence[Chunk]) -> Limits:
    """The limits of some chunks, asked for and answered."""
    return AskedLimits(db, chunks).answer()


def parked(db: Statements) -> list[Park]:
    """All parked streams."""
    return _parks(_ask_parked(db))


def _ask_parked(db: Statements) -> Rows:
    return db.execute("SELECT build, category, stream, part, first_offset, code, reason FROM refold.parked")


def _parks(rows: Rows) -> list[Park]:
    return [Park(*row) for row in rows.fetchall()]
