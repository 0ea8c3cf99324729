"""What bounds a fold of the models: the core's positions, the offsets it found void, and the streams that are parked."""

from collections.abc import Sequence
from dataclasses import dataclass

from refold.projections.batch import Park, Voids
from refold.streams.chunk import Chunk, Place
from refold.streams.postgres import Database


@dataclass(frozen=True)
class Limits:
    """Read in one transaction, the positions first: the voids before a position were written with it."""

    core: dict[Place, int]
    voids: Voids
    parked: list[Park]


def limits(db: Database, chunks: Sequence[Chunk]) -> Limits:
    """The limits of some chunks."""
    places = sorted(chunk.place for chunk in chunks)
    low = {chunk.place: chunk.start for chunk in chunks}
    high = {chunk.place: chunk.end for chunk in chunks}
    topics, parts = [topic for topic, _ in places], [part for _, part in places]
    core = core_positions(db)
    rows = db.execute(
        "SELECT v.topic, v.part, v.first_offset, v.last_offset"
        " FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[]) AS c(topic, part, low, high)"
        " JOIN refold.voids v ON v.topic = c.topic AND v.part = c.part AND v.last_offset >= c.low AND v.first_offset < c.high",
        (topics, parts, [low[place] for place in places], [high[place] for place in places]),
    ).fetchall()
    voids: dict[Place, list[tuple[int, int]]] = {}
    for topic, part, first, last in rows:
        voids.setdefault((topic, part), []).append((first, last))
    return Limits(core, voids, parked(db))


def core_positions(db: Database) -> dict[Place, int]:
    """Where the core stands."""
    return group_positions(db, "core")


def group_positions(db: Database, group: str) -> dict[Place, int]:
    """Where a group stands, of the places it has."""
    rows = db.execute("SELECT topic, part, next_offset FROM refold.positions WHERE grp = %s", (group,)).fetchall()
    return {(topic, part): at for topic, part, at in rows}


def parked(db: Database) -> list[Park]:
    """All parked streams."""
    rows = db.execute("SELECT build, category, stream, part, first_offset, code, reason FROM refold.parked").fetchall()
    return [Park(*row) for row in rows]
