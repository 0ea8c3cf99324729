"""The core's tables in SQL: what a chunk needs to know of them, and what it does to them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from refold.streams.arrays import literal
from refold.streams.chunk import Place
from refold.streams.effects import StoredStream
from refold.streams.fold import ClaimState
from refold.streams.postgres import Database


@dataclass(frozen=True)
class StoredClaim:
    """A partition's row in `claims`, with the hash of the last record applied."""

    state: ClaimState
    last_hash: bytes


def read_claims(db: Database, places: Iterable[Place]) -> dict[Place, StoredClaim]:
    """Rows by (category, part); a partition that was never folded has none."""
    wanted = sorted(places)
    rows = db.execute(
        "SELECT category, part, epoch, rules, writer, next_seq, last_command_offset, last_hash FROM refold.claims"
        " WHERE (category, part) IN (SELECT * FROM unnest(%s::text[], %s::int[]))",
        ([category for category, _ in wanted], [part for _, part in wanted]),
    ).fetchall()
    return {(row[0], row[1]): StoredClaim(ClaimState(*row[2:7]), row[7]) for row in rows}


def write_claim(db: Database, place: Place, claim: StoredClaim, *, first: bool) -> None:
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


def read_streams(db: Database, category: str, streams: pl.Series) -> dict[str, StoredStream]:
    """The rows of some streams of a category."""
    if streams.is_empty():
        return {}
    rows = db.execute(
        "SELECT stream, version, state, state_fingerprint FROM refold.streams WHERE category = %s AND stream = ANY(%s::text[])",
        (category, literal(streams)),
        binary=True,
    ).fetchall()
    return {row[0]: StoredStream(*row[1:]) for row in rows}


def known_keys(db: Database, keys: Sequence[bytes]) -> set[bytes]:
    """Which of these outcomes exist."""
    if not keys:
        return set()
    rows = db.execute(
        "SELECT key FROM refold.outcomes WHERE key = ANY(%s::bytea[])",
        (literal(pl.Series(keys, dtype=pl.Binary)),),
        binary=True,
    ).fetchall()
    return {row[0] for row in rows}


def insert_outcomes(db: Database, frame: pl.DataFrame) -> None:
    """Plain inserts: a key that is there already is a broken invariant, not something to pass over."""
    _insert(db, "outcomes", frame.sort("key"), _OUTCOMES)


def insert_stream_offsets(db: Database, frame: pl.DataFrame) -> None:
    """Plain inserts, as above."""
    columns = ", ".join(_STREAM_OFFSETS)
    ordered = frame.sort("category", "stream")
    db.execute(
        f"INSERT INTO refold.stream_offsets ({columns})"
        " SELECT c, s, v, p, o::bigint[] FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::int[], %s::text[]) AS t(c, s, v, p, o)",
        [literal(ordered[name]) for name in _STREAM_OFFSETS],
    )


def upsert_streams(db: Database, frame: pl.DataFrame) -> None:
    """Versions only grow: the rules have compared each group's base version with the row."""
    _insert(
        db,
        "streams",
        frame.sort("category", "stream"),
        _STREAMS,
        " ON CONFLICT (category, stream) DO UPDATE SET version = excluded.version, state = excluded.state,"
        " state_fingerprint = excluded.state_fingerprint",
    )


def insert_voids(db: Database, topic: str, part: int, ranges: Sequence[tuple[int, int, str]]) -> None:
    """Ranges of offsets (both ends included) that do not count; one that continues the last stored range lengthens it.

    So the rows are the same whatever the chunks were.
    """
    for first, last, reason in ranges:
        lengthened = db.execute(
            "UPDATE refold.voids SET last_offset = %s WHERE topic = %s AND part = %s AND last_offset = %s AND reason = %s"
            " AND first_offset = (SELECT max(first_offset) FROM refold.voids WHERE topic = %s AND part = %s)",
            (last, topic, part, first - 1, reason, topic, part),
        ).rowcount
        if not lengthened:
            db.execute("INSERT INTO refold.voids VALUES (%s, %s, %s, %s, %s)", (topic, part, first, last, reason))


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
_STREAM_OFFSETS = ("category", "stream", "first_version", "part", "offsets")


def _insert(db: Database, table: str, frame: pl.DataFrame, columns: Mapping[str, str], conflict: str = "") -> None:
    arrays = ", ".join(f"%s::{kind}[]" for kind in columns.values())
    parameters: list[Any] = [literal(frame[name]) for name in columns]
    statement = f"INSERT INTO refold.{table} ({', '.join(columns)}) SELECT * FROM unnest({arrays}){conflict}"
    db.execute(statement.encode(), parameters)
