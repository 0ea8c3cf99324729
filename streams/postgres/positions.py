"""Positions of groups of readers: the only module that writes them.

A live group moves its positions by compare-and-set, in the transaction of the rows that they speak for. A build's positions belong to
the holder of its rebuild's lock, who sets and forgets them.
"""

from collections.abc import Iterable, Mapping, Sequence

from refold.streams.chunk import Chunk, Place
from refold.streams.errors import Lost
from refold.streams.postgres.connection import Database, Rows, Statements
from refold.streams.postgres.control_tables import keep_up
from refold.streams.postgres.restoring import HAS_KEYS, whole

_LOCK = (
    "SELECT topic, part, next_offset FROM refold.positions WHERE grp = %s AND (topic, part) IN"
    f" (SELECT * FROM unnest(%s::text[], %s::int[])) AND {HAS_KEYS} ORDER BY topic, part FOR UPDATE"
).encode()


def stored(db: Database, group: str, places: Iterable[Place]) -> dict[Place, int]:
    """Where the group stands; a place that is new to it gets a row at 0. Raises psycopg.OperationalError during a restore."""
    wanted = sorted(places)
    topics, parts = [topic for topic, _ in wanted], [part for _, part in wanted]
    with whole(db):
        keep_up(db)
        with db.transaction():
            db.execute(
                "INSERT INTO refold.positions (grp, topic, part, next_offset)"
                " SELECT %s, topic, part, 0 FROM unnest(%s::text[], %s::int[]) AS p(topic, part) ON CONFLICT (grp, topic, part) DO NOTHING",
                (group, topics, parts),
            )
            rows = db.execute(
                "SELECT topic, part, next_offset FROM refold.positions WHERE grp = %s"
                " AND (topic, part) IN (SELECT * FROM unnest(%s::text[], %s::int[]))",
                (group, topics, parts),
            ).fetchall()
    return {(topic, part): at for topic, part, at in rows}


def lock(db: Statements, group: str, chunks: Sequence[Chunk]) -> Rows:
    """Hold the places' rows, in place order: the first lock of the transaction after the group's. `compare` reads the answer.

    Without the keys of a whole database no place is held: rows that a restore copies are nobody's yet.
    """
    ordered = sorted(chunks, key=lambda chunk: chunk.place)
    return db.execute(
        _LOCK,
        (group, [chunk.topic for chunk in ordered], [chunk.part for chunk in ordered]),
    )


def compare(locked: Rows, chunks: Sequence[Chunk]) -> None:
    """Raises Lost if a locked place does not stand at its chunk's start: all of the transaction is rolled back."""
    held = {(topic, part): at for topic, part, at in locked.fetchall()}
    lost = sorted(chunk.place for chunk in chunks if held.get(chunk.place) != chunk.start)
    if lost:
        raise Lost(lost)


def move(db: Statements, group: str, chunk: Chunk) -> None:
    """Set a locked place to the chunk's end. Never an upsert: an old position must not write itself into an emptied table."""
    db.execute(
        "UPDATE refold.positions SET next_offset = %s, last_at = coalesce(%s, last_at)"
        " WHERE grp = %s AND topic = %s AND part = %s AND next_offset = %s",
        (chunk.end, chunk.last_at, group, chunk.topic, chunk.part, chunk.start),
    )


def advance(db: Statements, group: str, chunks: Sequence[Chunk]) -> None:
    """Compare each place with its chunk's start and set it to the end. Raises Lost if any stands elsewhere."""
    compare(lock(db, group, chunks), chunks)
    for chunk in chunks:
        move(db, group, chunk)


def put(db: Database, group: str, positions: Mapping[Place, int]) -> None:
    """Set positions of a group that one caller holds: a build's, or a group's that nobody reads for yet."""
    for (topic, part), at in sorted(positions.items()):
        db.execute(
            "INSERT INTO refold.positions (grp, topic, part, next_offset) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (grp, topic, part) DO UPDATE SET next_offset = excluded.next_offset",
            (group, topic, part, at),
        )


def copy(db: Database, group: str, other: str) -> None:
    """Give another group the positions of this one, instead of its own."""
    forget(db, other)
    db.execute(
        "INSERT INTO refold.positions (grp, topic, part, next_offset, last_at)"
        " SELECT %s, topic, part, next_offset, last_at FROM refold.positions WHERE grp = %s",
        (other, group),
    )


def forget(db: Database, group: str) -> None:
    """A group that reads no more has no positions."""
    db.execute("DELETE FROM refold.positions WHERE grp = %s", (group,))
