"""A decoded chunk under the log's rules, with what the tables say before it: by columns if all of it counts, else by rows."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from refold.schemas.identity import outcome_key
from refold.schemas.meta import Claim, Meta
from refold.streams import core_store, metrics
from refold.streams.chunk import Chunk
from refold.streams.core_store import StoredClaim
from refold.streams.decoded import DecodedChunk, envelope_frame
from refold.streams.effects import StoredStream
from refold.streams.fold import ClaimState, Envelope, Tables, judge
from refold.streams.fold_columns import judge_columns
from refold.streams.postgres import Database

GROUP = "core"
_FIRST = StoredClaim(ClaimState(), b"")
_FEW = 32
"""Columns cost some 3 ms before their first record: the few of a live chunk are judged one by one in a tenth of that."""
Void = tuple[int, int, str]
"""First and last offset of a range that does not count, and why."""


@dataclass(frozen=True)
class Judged:
    """How far a chunk goes, the partition's row after it, the envelopes that count, and what does not."""

    decoded: DecodedChunk
    category: str
    chunk: Chunk
    claim: StoredClaim
    counted: pl.DataFrame
    voids: list[Void]
    before: dict[str, StoredStream]
    first: bool


@dataclass(frozen=True)
class _Counted:
    state: ClaimState
    taken: int
    frame: pl.DataFrame
    voids: list[Void]


def judged(db: Database, decoded: DecodedChunk, category: str) -> Judged:
    """Apply the rules to a chunk whose position the transaction holds. Raises NewerRules."""
    chunk = decoded.chunk
    place = (category, chunk.part)
    claims = core_store.read_claims(db, [place])
    stored = claims.get(place, _FIRST)
    few = len(chunk.values) <= _FEW
    columns = None if few else decoded.envelopes()
    envelopes: list[Envelope] = [] if columns is not None else decoded.envelopes_one_by_one()
    frame = columns if columns is not None else envelope_frame(envelopes)
    before = core_store.read_streams(db, category, frame["m_stream"].unique())
    known = core_store.known_keys(db, _keys(frame, category))
    counted = _by_columns(columns, category, stored.state, before, known) if columns is not None else None
    if counted is None:
        metrics.ROW_WISE.labels(GROUP).inc(0 if few else len(chunk.values))
        counted = _by_rows(
            envelopes or decoded.envelopes_one_by_one(), category, stored.state, before, known, chunk.start
        )
    taken = chunk.upto(chunk.start + counted.taken)
    last = hashlib.sha256(taken.values[-1] or b"").digest()[:16] if taken.values else stored.last_hash
    return Judged(
        decoded,
        category,
        taken,
        StoredClaim(counted.state, last),
        counted.frame,
        counted.voids,
        before,
        first=not claims,
    )


def _by_columns(
    columns: pl.DataFrame, category: str, state: ClaimState, before: dict[str, StoredStream], known: set[bytes]
) -> _Counted | None:
    versions = pl.DataFrame(
        {"m_stream": list(before), "stored": [row.version for row in before.values()]},
        schema={"m_stream": pl.String, "stored": pl.Int64},
    )
    whole = judge_columns(columns, category, state, versions, len(known))
    return None if whole is None else _Counted(whole.state, whole.taken, columns.head(whole.taken), [])


def _by_rows(
    envelopes: Sequence[Envelope],
    category: str,
    state: ClaimState,
    before: dict[str, StoredStream],
    known: set[bytes],
    start: int,
) -> _Counted:
    tables = Tables(
        version=lambda stream: before[stream].version if stream in before else 0,
        known=lambda stream, command_id: outcome_key(category, stream, command_id.bytes) in known,
    )
    verdict = judge(envelopes, category, state, tables)
    rows = {row for group in verdict.groups for row in group.rows}
    frame = envelope_frame([envelope if row in rows else None for row, envelope in enumerate(envelopes)])
    return _Counted(verdict.state, verdict.taken, frame, _voids(envelopes[: verdict.taken], rows, start))


def _keys(frame: pl.DataFrame, category: str) -> list[bytes]:
    firsts = frame.filter(pl.col("m_index") == 0).select("m_stream", "m_command_id")
    return [outcome_key(category, stream, command_id) for stream, command_id in firsts.iter_rows()]


def _voids(envelopes: Sequence[Envelope], counted: set[int], start: int) -> list[Void]:
    """Neighbours that do not count for the same reason, as one range. Claims are no events: every reader knows them."""
    ranges: list[Void] = []
    for row, envelope in enumerate(envelopes):
        if row in counted or isinstance(envelope, Claim):
            continue
        reason, offset = "void" if isinstance(envelope, Meta) else "foreign", start + row
        if ranges and ranges[-1][1] == offset - 1 and ranges[-1][2] == reason:
            ranges[-1] = (ranges[-1][0], offset, reason)
        else:
            ranges.append((offset, offset, reason))
    return ranges
