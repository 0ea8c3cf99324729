"""SQL of the reactors' tables."""

from collections.abc import Iterable, Mapping

from refold.schemas.codec import writable
from refold.streams.postgres.arrays import literal
from refold.streams.postgres.connection import Database
from refold.streams.reactors.reacting import Answers, Parked, ReactorStream, StoredState


def states(db: Database, keys: Iterable[ReactorStream]) -> dict[ReactorStream, StoredState]:
    """The stored states of some streams."""
    ordered = sorted(keys)
    rows = db.execute(
        "SELECT reactor, stream, version, state, fingerprint FROM refold.reactor_states"
        " WHERE (reactor, stream) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
        ([reactor for reactor, _ in ordered], [stream for _, stream in ordered]),
    ).fetchall()
    return {(reactor, stream): StoredState(version, state, print_) for reactor, stream, version, state, print_ in rows}


def parked(db: Database) -> dict[ReactorStream, int]:
    """The offset from which on each parked stream waits."""
    rows = db.execute("SELECT reactor, stream, first_offset FROM refold.reactor_parked").fetchall()
    return {(reactor, stream): first for reactor, stream, first in rows}


def all_parked(db: Database) -> list[tuple[str, str, str]]:
    """Category, stream and code of each park."""
    return db.execute("SELECT DISTINCT category, stream, code FROM refold.reactor_parked").fetchall()


def parks_of(db: Database, category: str, stream: str) -> list[tuple[str, str]]:
    """The reactors that a stream waits for, each with the reason's code."""
    return db.execute(
        "SELECT reactor, code FROM refold.reactor_parked WHERE category = %s AND stream = %s ORDER BY 1",
        (category, stream),
    ).fetchall()


def hold(db: Database, topic: str) -> None:
    """Lock the reactors' positions in a topic: until the commit no process of reactors passes over events."""
    db.execute(
        "SELECT FROM refold.positions WHERE grp = 'reactors' AND topic = %s ORDER BY part FOR UPDATE", (topic,)
    ).fetchall()


def move_park(db: Database, key: ReactorStream, where: Parked | int, answered: int) -> None:
    """Let a stream wait from a later event on: an event that fails, or the next to be answered."""
    first = where if isinstance(where, int) else where.first_offset
    failed = (where.code, writable(where.reason)) if isinstance(where, Parked) else (None, None)
    db.execute(
        "UPDATE refold.reactor_parked SET first_offset = %s, waiting = waiting - %s, code = coalesce(%s, code),"
        " reason = coalesce(%s, reason) WHERE reactor = %s AND stream = %s",
        (first, answered, *failed, *key),
    )


def unpark(db: Database, key: ReactorStream) -> None:
    """Remove a stream's park."""
    db.execute("DELETE FROM refold.reactor_parked WHERE reactor = %s AND stream = %s", key)


def write(db: Database, answers: Answers) -> bool:
    """Write a batch's results, in the transaction that moves the positions past the batch.

    False: a stream was released while events after its park were passed over, so these must be read again.
    """
    write_states(db, answers.states)
    for key in sorted(answers.released):
        unpark(db, key)
    for (reactor, stream), one in sorted(answers.parked.items(), key=lambda item: item[0]):
        db.execute(
            "INSERT INTO refold.reactor_parked (reactor, stream, category, part, first_offset, code, reason)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (reactor, stream) DO UPDATE SET waiting = 0,"
            " first_offset = excluded.first_offset, code = excluded.code, reason = excluded.reason, at = excluded.at",
            (reactor, stream, one.category, one.part, one.first_offset, one.code, writable(one.reason)),
        )
    still = True
    for key, number in sorted(answers.waiting.items()):
        found = db.execute(
            "UPDATE refold.reactor_parked SET waiting = waiting + %s WHERE reactor = %s AND stream = %s", (number, *key)
        )
        still = still and found.rowcount == 1
    return still


def write_states(db: Database, found: Mapping[ReactorStream, StoredState]) -> None:
    """Write states, sorted by key, so that two transactions lock rows in one order."""
    if not found:
        return
    ordered = sorted(found.items())
    db.execute(
        "INSERT INTO refold.reactor_states (reactor, stream, version, state, fingerprint)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bytea[], %s::text[]) ORDER BY 1, 2"
        " ON CONFLICT (reactor, stream) DO UPDATE SET version = excluded.version, state = excluded.state,"
        " fingerprint = excluded.fingerprint",
        (
            [reactor for (reactor, _), _ in ordered],
            [stream for (_, stream), _ in ordered],
            [state.version for _, state in ordered],
            literal([state.state for _, state in ordered]),
            [state.fingerprint for _, state in ordered],
        ),
    )
