"""The core's tables in SQL: what a chunk needs to know of them, and what it does to them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from refold.streams.arrays import literal
from refold.streams.chunk import Place
from refold.streams.effects import Before, Columns, Effects, StoredStream
from refold.streams.fold import ClaimState
from refold.streams.postgres import Rows, Statements


@dataclass(frozen=True)
class StoredClaim:
    """A partition's row in `claims`, with the hash of the last record applied."""

    state: ClaimState
    last_hash: bytes


def read_claims(db: Statements, places: Iterable[Place]) -> dict[Place, StoredClaim]:
    """Rows by (category, part); a partition that was never folded has none."""
    rows = _ask_claims(db, sorted(places)).fetchall()
    return {(row[0], row[1]): StoredClaim(ClaimState(*row[2:7]), row[7]) for row in rows}


def write_claim(db: Statements, place: Place, claim: StoredClaim, *, first: bool) -> None:
    """Set a partition's row, which the lock on its position protects."""
    state = claim.state
    values = (
        state.epoch,
        state.rules,
        state.writer,
        state.next_seq,
        state.last_command_offset,
        claim.last_hash,
        *place,
    )
    if first:
        db.execute(
            "INSERT INTO refold.claims (epoch, rules, writer, next_seq, last_command_offset, last_hash, category, part)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            values,
        )
    else:
        db.execute(
            "UPDATE refold.claims SET epoch = %s, rules = %s, writer = %s, next_seq = %s, last_command_offset = %s, last_hash = %s"
            " WHERE category = %s AND part = %s",
            values,
        )


class AskedBefore:
    """All that the rules need of the tables for a chunk, asked for at once. The position's lock keeps it true until the commit."""

    def __init__(self, db: Statements, category: str, part: int, streams: Iterable[str], keys: Sequence[bytes]) -> None:
        self._claims = _ask_claims(db, [(category, part)])
        self._streams = _ask_streams(db, category, sorted(streams))
        self._known = _ask_keys(db, keys)

    def answer(self) -> Before:
        """All of it."""
        claim = self._claims.fetchone()
        return Before(
            ClaimState(*claim[2:7]) if claim else ClaimState(),
            claim[7] if claim else b"",
            claim is None,
            {row[0]: StoredStream(*row[1:]) for row in self._streams.fetchall()},
            frozenset(row[0] for row in self._known.fetchall()),
        )


def write_effects(db: Statements, effects: Effects) -> None:
    """Plain inserts: an outcome that is there already is a broken invariant, not something to pass over.

    Versions only grow: the rules have compared each group's base version with the row.
    """
    _insert(db, "outcomes", effects.outcomes, _OUTCOMES)
    _insert(
        db,
        "streams",
        effects.streams,
        _STREAMS,
        " ON CONFLICT (category, stream) DO UPDATE SET version = excluded.version, state = excluded.state,"
        " state_fingerprint = excluded.state_fingerprint",
    )
    _insert(db, "stream_offsets", effects.offsets, _STREAM_OFFSETS)


def insert_voids(db: Statements, topic: str, part: int, ranges: Sequence[tuple[int, int, str]]) -> None:
    """Ranges of offsets (both ends included) that do not count; one that continues the last stored range lengthens it.

    So the rows are the same whatever the chunks were.
    """
    for first, last, reason in ranges:
        db.execute(
            "WITH found AS (SELECT %s::text AS topic, %s::int AS part, %s::bigint AS first, %s::bigint AS last, %s::text AS reason),"
            " lengthened AS (UPDATE refold.voids v SET last_offset = found.last FROM found WHERE v.topic = found.topic AND v.part = found.part"
            " AND v.last_offset = found.first - 1 AND v.reason = found.reason AND v.first_offset ="
            " (SELECT max(first_offset) FROM refold.voids w WHERE w.topic = found.topic AND w.part = found.part) RETURNING 1)"
            " INSERT INTO refold.voids SELECT topic, part, first, last, reason FROM found WHERE NOT EXISTS (SELECT FROM lengthened)",
            (topic, part, first, last, reason),
        )


_OUTCOMES: Mapping[str, str] = {
    "key": "bytea",
    "category": "text",
    "stream": "text",
    "command_id": "uuid",
    "body_hash": "bytea",
    "code": "text",
    "message": "text",
    "base_version": "bigint",
    "events": "int",
    "part": "int",
    "first_offset": "bigint",
    "next_offset": "bigint",
}
_STREAMS: Mapping[str, str] = {
    "category": "text",
    "stream": "text",
    "version": "bigint",
    "state": "bytea",
    "state_fingerprint": "text",
}
_STREAM_OFFSETS: Mapping[str, str] = {
    "category": "text",
    "stream": "text",
    "first_version": "bigint",
    "part": "int",
    "offsets": "text",
}
_CASTS = {"offsets": "offsets::bigint[]"}


def _insert(db: Statements, table: str, rows: Columns, columns: Mapping[str, str], conflict: str = "") -> None:
    """Sorted by the table's key, so that two transactions lock rows in one order."""
    names = ", ".join(columns)
    chosen = ", ".join(_CASTS.get(name, name) for name in columns)
    arrays = ", ".join(f"%s::{kind}[]" for kind in columns.values())
    statement = f"INSERT INTO refold.{table} ({names}) SELECT {chosen} FROM unnest({arrays}) AS t({names}) ORDER BY 1, 2{conflict}"
    db.execute(statement.encode(), [literal(rows[name]) for name in columns])


def _ask_claims(db: Statements, places: Sequence[Place]) -> Rows:
    return db.execute(
        "SELECT category, part, epoch, rules, writer, next_seq, last_command_offset, last_hash FROM refold.claims"
        " WHERE (category, part) IN (SELECT * FROM unnest(%s::text[], %s::int[]))",
        ([category for category, _ in places], [part for _, part in places]),
    )


def _ask_streams(db: Statements, category: str, streams: Sequence[str]) -> Rows:
    return db.execute(
        "SELECT stream, version, state, state_fingerprint FROM refold.streams WHERE category = %s AND stream = ANY(%s::text[])",
        (category, literal(streams)),
    )


def _ask_keys(db: Statements, keys: Sequence[bytes]) -> Rows:
    return db.execute("SELECT key FROM refold.outcomes WHERE key = ANY(%s::bytea[])", (literal(keys),))
