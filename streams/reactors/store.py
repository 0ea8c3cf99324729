"""The reactors' tables in SQL."""

from collections.abc import Iterable, Mapping

from refold.schemas.codec import writable
from refold.streams.arrays import literal
from refold.streams.postgres import Database, create_tables
from refold.streams.reactors.reacting import Answers, Key, State


def bootstrap(db: Database) -> None:
    """Create what is missing of the tables; safe to run by many at once."""
    create_tables(db, "refold.streams.reactors", "tables.sql")


def states(db: Database, keys: Iterable[Key]) -> dict[Key, State]:
    """The stored states of some streams."""
    ordered = sorted(keys)
    rows = db.execute(
        "SELECT reactor, stream, version, state, fingerprint FROM refold.reactor_states"
        " WHERE (reactor, stream) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
        ([reactor for reactor, _ in ordered], [stream for _, stream in ordered]),
    ).fetchall()
    return {(reactor, stream): State(version, state, print_) for reactor, stream, version, state, print_ in rows}


def parked(db: Database) -> dict[Key, int]:
    """From which offset on streams wait."""
    rows = db.execute("SELECT reactor, stream, first_offset FROM refold.reactor_parked").fetchall()
    return {(reactor, stream): first for reactor, stream, first in rows}


def write(db: Database, answers: Answers) -> None:
    """Everything a batch does to the tables, in the transaction that moves the positions past it."""
    _write_states(db, answers.states)
    for reactor, stream in sorted(answers.released):
        db.execute("DELETE FROM refold.reactor_parked WHERE reactor = %s AND stream = %s", (reactor, stream))
    for (reactor, stream), one in sorted(answers.parked.items(), key=lambda item: item[0]):
        db.execute(
            "INSERT INTO refold.reactor_parked (reactor, stream, category, part, first_offset, code, reason)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (reactor, stream) DO UPDATE SET waiting = 0,"
            " first_offset = excluded.first_offset, code = excluded.code, reason = excluded.reason, at = excluded.at",
            (reactor, stream, one.category, one.part, one.first_offset, one.code, writable(one.reason)),
        )
    for (reactor, stream), number in sorted(answers.waiting.items()):
        db.execute(
            "UPDATE refold.reactor_parked SET waiting = waiting + %s WHERE reactor = %s AND stream = %s",
            (number, reactor, stream),
        )


def _write_states(db: Database, found: Mapping[Key, State]) -> None:
    """Sorted by key, so that two transactions lock rows in one order."""
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
