"""Bounds for everyone who reads events after the core: the core's positions, and the offsets that it found void."""

from collections.abc import Mapping, Sequence

from refold.streams.chunk import Chunk, Place
from refold.streams.postgres.connection import Rows, Statements

Voids = Mapping[Place, Sequence[tuple[int, int]]]
"""By place: ranges of void offsets, both ends included."""


class CoreLimits:
    """The core's positions and the voids in some chunks.

    Positions are queried first: each void below a position was committed with it, so the two answers agree.
    """

    def __init__(self, db: Statements, chunks: Sequence[Chunk]) -> None:
        self._positions, self._voids = _ask_positions(db, "core"), _ask_voids(db, chunks)

    def answer(self) -> tuple[dict[Place, int], Voids]:
        """The positions and the voids."""
        return _positions(self._positions), _ranges(self._voids)


def core_limits(db: Statements, chunks: Sequence[Chunk]) -> tuple[dict[Place, int], Voids]:
    """The core's positions and the voids in some chunks."""
    return CoreLimits(db, chunks).answer()


def core_positions(db: Statements) -> dict[Place, int]:
    """The core's positions."""
    return group_positions(db, "core")


def group_positions(db: Statements, group: str) -> dict[Place, int]:
    """A group's positions, for the places that have one."""
    return _positions(_ask_positions(db, group))


def _ask_positions(db: Statements, group: str) -> Rows:
    return db.execute("SELECT topic, part, next_offset FROM refold.positions WHERE grp = %s", (group,))


def _positions(rows: Rows) -> dict[Place, int]:
    return {(topic, part): at for topic, part, at in rows.fetchall()}


def _ask_voids(db: Statements, chunks: Sequence[Chunk]) -> Rows:
    ordered = sorted(chunks, key=lambda chunk: chunk.place)
    return db.execute(
        "SELECT v.topic, v.part, v.first_offset, v.last_offset"
        " FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[]) AS c(topic, part, low, high)"
        " JOIN refold.voids v ON v.topic = c.topic AND v.part = c.part AND v.last_offset >= c.low AND v.first_offset < c.high",
        (
            [chunk.topic for chunk in ordered],
            [chunk.part for chunk in ordered],
            [chunk.start for chunk in ordered],
            [chunk.end for chunk in ordered],
        ),
    )


def _ranges(rows: Rows) -> Voids:
    voids: dict[Place, list[tuple[int, int]]] = {}
    for topic, part, first, last in rows.fetchall():
        voids.setdefault((topic, part), []).append((first, last))
    return voids
