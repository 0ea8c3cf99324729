"""SQL of the core's tables: the rows that a chunk needs, and the rows that it writes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from refold.streams.chunk import Place
from refold.streams.postgres.arrays import literal
from refold.streams.postgres.connection import Rows, Statements
from refold.streams.postgres.restoring import HAS_KEYS
from refold.streams.rules.effects import Before, Columns, Effects, StoredStream
from refold.streams.rules.judge import ClaimState


@dataclass(frozen=True)
class StoredClaim:
    """A partition's row in `claims`, with the hash of the last record applied."""

    state: ClaimState
    last_hash: bytes


def read_claims(db: Statements, places: Iterable[Place]) -> dict[Place, StoredClaim]:
    """The claims' rows by (category, part); a partition that was never folded has none."""
    return claims_of(ask_claims(db, sorted(places), whole=True))


def claims_of(rows: Rows) -> dict[Place, StoredClaim]:
    """The answer to `ask_claims`, by (category, part)."""
    return {(row[0], row[1]): StoredClaim(ClaimState(*row[2:7]), row[7]) for row in rows.fetchall()}


def streams_of(rows: Rows) -> dict[str, StoredStream]:
    """The answer to `ask_streams`, by stream."""
    return {row[0]: StoredStream(*row[1:]) for row in rows.fetchall()}


def write_claim(db: Statements, place: Place, claim: StoredClaim, *, first: bool) -> None:
    """Write a partition's row. The lock on its position protects the row."""
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
    """All rows that the rules need for a chunk, queried at once. The position's lock keeps them true until the commit.

    `keys`: keys of outcomes to look up; None if the caller assumes that none exist.
    """

    def __init__(
        self,
        db: Statements,
        category: str,
        part: int,
        streams: Iterable[str],
        keys: Sequence[bytes] | None,
        *,
        whole: bool = False,
    ) -> None:
        self._claims = ask_claims(db, [(category, part)], whole=whole)
        self._streams = ask_streams(db, category, sorted(streams))
        self._known = None if keys is None else ask_keys(db, keys)

    def answer(self) -> Before:
        """The rows."""
        claim = self._claims.fetchone()
        return Before(
            ClaimState(*claim[2:7]) if claim else ClaimState(),
            claim[7] if claim else b"",
            claim is None,
            streams_of(self._streams),
            frozenset(row[0] for row in self._known.fetchall()) if self._known else frozenset(),
        )


def write_effects(db: Statements, effects: Effects) -> None:
    """Insert outcomes, streams and offsets. Raises psycopg.errors.UniqueViolation for an outcome that exists already.

    Versions only grow: the rules have compared each group's base version with the stream's row.
    """
    place, rows = (effects.category, effects.part), effects.outcomes
    ids = [b"".join(rows[name]) for name in ("key", "command_id", "body_hash")]
    db.execute(_INSERT_OUTCOMES, [*place, *ids, *_arrays(rows, _OUTCOME_ARRAYS)])
    db.execute(_UPSERT_STREAMS, [effects.category, *_arrays(effects.streams, _STREAM_ARRAYS)])
    db.execute(_INSERT_OFFSETS, [*place, *_arrays(effects.offsets, _OFFSET_ARRAYS)])


def _arrays(rows: Columns, names: Sequence[str]) -> list[str]:
    return [literal(rows[name]) for name in names]


def insert_voids(db: Statements, topic: str, part: int, ranges: Sequence[tuple[int, int, str]]) -> None:
    """Insert ranges of void offsets (both ends included). A range that continues the last stored one lengthens it.

    So the rows are the same however the log was cut into chunks.
    """
    for first, last, reason in ranges:
        db.execute(
            "WITH found AS (SELECT %s::text AS topic, %s::int AS part, %s::bigint AS first, %s::bigint AS last, %s::text AS reason),"
            " lengthened AS (UPDATE refold.voids v SET last_offset = found.last FROM found WHERE v.topic = found.topic AND v.part = found.part"
            " AND v.last_offset = found.first - 1 AND v.reason = found.reason AND v.first_offset ="
            " (SELECT max(first_offset) FROM refold.voids w WHERE w.topic = found.topic AND w.part = found.part) RETURNING 1)"
            " INSERT INTO refold.voids (topic, part, first_offset, last_offset, reason) SELECT topic, part, first, last, reason FROM found WHERE NOT EXISTS (SELECT FROM lengthened)",
            (topic, part, first, last, reason),
        )


# Rows are sorted by the table's key, so that two transactions lock them in one order. Values that all rows share go
# once, and all ids of 16 bytes go as one value: Postgres needs half a microsecond to read an element of an array.
_OUTCOME_ARRAYS = ("stream", "code", "message", "base_version", "events", "first_offset", "next_offset")
_INSERT_OUTCOMES = b"""
INSERT INTO refold.outcomes (category, part, key, command_id, body_hash, stream, code, message, base_version, events,
    first_offset, next_offset)
SELECT %s::text, %s::int, substring(keys, at, 16), encode(substring(command_ids, at, 16), 'hex')::uuid,
    substring(body_hashes, at, 16), stream, code, message, base_version, events, first_offset, next_offset
FROM (SELECT %s::bytea AS keys, %s::bytea AS command_ids, %s::bytea AS body_hashes) AS ids,
    unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::int[], %s::bigint[], %s::bigint[]) WITH ORDINALITY
        AS given (stream, code, message, base_version, events, first_offset, next_offset, number),
    LATERAL (SELECT (number * 16 - 15)::int AS at) AS place
ORDER BY 3
"""
_STREAM_ARRAYS = ("stream", "version", "state", "state_fingerprint")
_UPSERT_STREAMS = b"""
INSERT INTO refold.streams (category, stream, version, state, state_fingerprint)
SELECT %s::text, stream, version, state, state_fingerprint
FROM unnest(%s::text[], %s::bigint[], %s::bytea[], %s::text[]) AS given (stream, version, state, state_fingerprint)
ORDER BY 2
ON CONFLICT (category, stream) DO UPDATE
SET version = excluded.version, state = excluded.state, state_fingerprint = excluded.state_fingerprint
"""
_OFFSET_ARRAYS = ("stream", "first_version", "offsets")
_INSERT_OFFSETS = b"""
INSERT INTO refold.stream_offsets (category, part, stream, first_version, offsets)
SELECT %s::text, %s::int, stream, first_version, offsets::bigint[]
FROM unnest(%s::text[], %s::bigint[], %s::text[]) AS given (stream, first_version, offsets)
ORDER BY 3, 4
"""


_CLAIMS = (
    b"SELECT category, part, epoch, rules, writer, next_seq, last_command_offset, last_hash FROM refold.claims"
    b" WHERE (category, part) IN (SELECT * FROM unnest(%s::text[], %s::int[]))"
)
_CLAIMS_OF_WHOLE = _CLAIMS + f" AND {HAS_KEYS}".encode()


def ask_claims(db: Statements, places: Sequence[Place], *, whole: bool) -> Rows:
    """Ask for partitions' rows. `whole`: find no rows while a restore has not added all keys. The core need not check: its position's query did."""
    return db.execute(
        _CLAIMS_OF_WHOLE if whole else _CLAIMS,
        ([category for category, _ in places], [part for _, part in places]),
    )


def ask_streams(db: Statements, category: str, streams: Sequence[str]) -> Rows:
    """Ask for the rows of streams of one category."""
    return db.execute(
        "SELECT stream, version, state, state_fingerprint FROM refold.streams WHERE category = %s AND stream = ANY(%s::text[])",
        (category, literal(streams)),
    )


def ask_keys(db: Statements, keys: Sequence[bytes]) -> Rows:
    """Ask which of these outcomes exist."""
    return db.execute("SELECT key FROM refold.outcomes WHERE key = ANY(%s::bytea[])", (literal(keys),))
