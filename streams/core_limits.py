"""What bounds everyone who reads events behind the core: its positions, and the offsets that it found void."""

from collections.abc import Mapping, Sequence

from refold.streams.chunk import Chunk, Place
from refold.streams.postgres import Database

Voids = Mapping[Place, Sequence[tuple[int, int]]]
"""Ranges of offsets, both ends included, that do not count."""


def core_limits(db: Database, chunks: Sequence[Chunk]) -> tuple[dict[Place, int], Voids]:
    """Where the core stands, and the voids in some chunks; the positions first: the voids before one were written with it."""
    core = core_positions(db)
    return core, _voids(db, chunks)


def core_positions(db: Database) -> dict[Place, int]:
    """Where the core stands."""
    return group_positions(db, "core")


def group_positions(db: Database, group: str) -> dict[Place, int]:
    """Where a group stands, of the places it has."""
    rows = db.execute("SELECT topic, part, next_offset FROM refold.positions WHERE grp = %s", (group,)).fetchall()
    return {(topic, part): at for topic, part, at in rows}


def _voids(db: Database, chunks: Sequence[Chunk]) -> Voids:
    ordered = sorted(chunks, key=lambda chunk: chunk.place)
    rows = db.execute(
        "SELECT v.topic, v.part, v.first_offset, v.last_offset"
        " FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[]) AS c(topic, part, low, high)"
        " JOIN refold.voids v ON v.topic = c.topic AND v.part = c.part AND v.last_offset >= c.low AND v.first_offset < c.high",
        (
            [chunk.topic for chunk in ordered],
            [chunk.part for chunk in ordered],
            [chunk.start for chunk in ordered],
            [chunk.end for chunk in ordered],
        ),
    ).fetchall()
    voids: dict[Place, list[tuple[int, int]]] = {}
    for topic, part, first, last in rows:
        voids.setdefault((topic, part), []).append((first, last))
    return voids
