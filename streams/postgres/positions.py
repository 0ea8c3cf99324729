"""Positions of groups of readers: the only module that writes them.

A live group moves its positions by compare-and-set, in the same transaction as the rows that they describe. A build's
positions belong to the holder of its rebuild's lock, which sets and deletes them.
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
    """The group's positions. A new place gets a row at 0. Raises psycopg.OperationalError during a restore."""
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
    """Lock the places' rows in place order, the first lock after the group's. `compare` reads the answer.

    If keys of the database are missing, nothing is locked: a restore is still copying the rows.
    """
    ordered = sorted(chunks, key=lambda chunk: chunk.place)
    return db.execute(
        _LOCK,
        (group, [chunk.topic for chunk in ordered], [chunk.part for chunk in ordered]),
    )


def compare(locked: Rows, chunks: Sequence[Chunk]) -> None:
    """Raises Lost if a locked place is not at its chunk's start, so the whole transaction is rolled back."""
    held = {(topic, part): at for topic, part, at in locked.fetchall()}
    lost = sorted(chunk.place for chunk in chunks if held.get(chunk.place) != chunk.start)
    if lost:
        raise Lost(lost)


def move(db: Statements, group: str, chunk: Chunk) -> None:
    """Set a locked place to the chunk's end. Never an upsert: an old position must not enter an emptied table."""
    db.execute(
        "UPDATE refold.positions SET next_offset = %s, last_at = coalesce(%s, last_at)"
        " WHERE grp = %s AND topic = %s AND part = %s AND next_offset = %s",
        (chunk.end, chunk.last_at, group, chunk.topic, chunk.part, chunk.start),
    )


def advance(db: Statements, group: str, chunks: Sequence[Chunk]) -> None:
    """Compare each place with its chunk's start and set it to the end. Raises Lost if one differs."""
    compare(lock(db, group, chunks), chunks)
    for chunk in chunks:
        move(db, group, chunk)


def put(db: Database, group: str, positions: Mapping[Place, int]) -> None:
    """Set positions of a group that one caller holds: a build's, or those of a group without readers."""
    for (topic, part), at in sorted(positions.items()):
        db.execute(
            "INSERT INTO refold.positions (grp, topic, part, next_offset) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (grp, topic, part) DO UPDATE SET next_offset = excluded.next_offset",
            (group, topic, part, at),
        )


def hold(db: Database, groups: Sequence[str], positions: Mapping[Place, int]) -> None:
    """Lock these places of several groups, which several callers move, until the transaction ends.

    Raises Lost if a group stands elsewhere, or no longer stands anywhere.
    """
    held = wait(db, groups, positions)
    moved = {place for group in groups for place in positions if held.get((group, place)) != positions[place]}
    if moved:
        raise Lost(sorted(moved))


def wait(db: Database, groups: Sequence[str], places: Iterable[Place]) -> dict[tuple[str, Place], int]:
    """Wait until no other transaction moves these places, and lock them; where each group stands."""
    wanted = sorted(places)
    rows = db.execute(
        "SELECT grp, topic, part, next_offset FROM refold.positions WHERE grp = ANY(%s)"
        " AND (topic, part) IN (SELECT * FROM unnest(%s::text[], %s::int[])) ORDER BY grp, topic, part FOR UPDATE",
        (list(groups), [topic for topic, _ in wanted], [part for _, part in wanted]),
    ).fetchall()
    return {(group, (topic, part)): at for group, topic, part, at in rows}


def adopt_times(db: Database, group: str, others: Sequence[str]) -> None:
    """Learn from other groups when the last record was appended, where they stand at the same position."""
    db.execute(
        "UPDATE refold.positions p SET last_at = o.last_at FROM refold.positions o WHERE p.grp = %s AND p.last_at IS NULL"
        " AND o.grp = ANY(%s) AND (o.topic, o.part, o.next_offset) = (p.topic, p.part, p.next_offset)",
        (group, list(others)),
    )


def copy(db: Database, group: str, other: str) -> None:
    """Replace another group's positions by this group's."""
    forget(db, other)
    db.execute(
        "INSERT INTO refold.positions (grp, topic, part, next_offset, last_at)"
        " SELECT %s, topic, part, next_offset, last_at FROM refold.positions WHERE grp = %s",
        (other, group),
    )


def forget(db: Database, group: str) -> None:
    """Delete the positions of a group that no longer reads."""
    db.execute("DELETE FROM refold.positions WHERE grp = %s", (group,))
