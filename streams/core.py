"""The core fold: one transaction a batch of chunks, {claim state, streams, outcomes, voids, position}, then NOTIFY.

Invariant: the tables at a position are the fold of the log before it, whatever the chunks were (fold.py has the rules); a
position moves in the transaction of the rows it speaks for, or not at all.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import polars as pl

from refold.schemas.identity import outcome_key
from refold.schemas.meta import Claim, Meta
from refold.streams import core_store, effects, metrics, positions
from refold.streams.chunk import Chunk, Place
from refold.streams.core_store import StoredClaim
from refold.streams.decoded import DecodedChunk, EventDecoder, envelope_frame
from refold.streams.domain import Domains
from refold.streams.errors import UnknownSchema
from refold.streams.fold import ClaimState, Envelope, Tables, Verdict, judge
from refold.streams.fold_columns import judge_columns
from refold.streams.history import History
from refold.streams.postgres import Database, connect_patiently, notify
from refold.streams.topics import category_of, events_topic

GROUP = "core"
_FIRST = StoredClaim(ClaimState(), b"")


@dataclass(frozen=True)
class Judged:
    """A chunk under the rules: how far it goes, the envelopes that count, and what does not."""

    decoded: DecodedChunk
    category: str
    chunk: Chunk
    claim: StoredClaim
    counted: pl.DataFrame
    voids: list[tuple[int, int, str]]
    before: dict[str, effects.StoredStream]


class CoreFold:
    """Folds chunks of all categories' events into the core's tables. One connection, one thread."""

    group = GROUP

    def __init__(self, url: str, prefix: str, domains: Domains, history: History, logged_schemas: frozenset[int]) -> None:
        self._url, self._prefix, self._domains, self._history = url, prefix, domains, history
        self._logged = logged_schemas
        self._decoder = EventDecoder(domains.catalog)
        self.topics: Sequence[str] = [events_topic(prefix, name) for name in sorted(domains.categories)]
        self._db = connect_patiently(url, application_name=GROUP)

    def reconnect(self) -> None:
        """A new connection, once Postgres is back."""
        self._db.close()
        self._db = connect_patiently(self._url, application_name=GROUP)

    def stored(self, places: Sequence[Place]) -> dict[Place, int]:
        """Where the core stands."""
        return positions.stored(self._db, GROUP, places)

    def apply(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        """Fold as far as groups are whole, in one transaction. Raises Lost, NewerRules, UnknownSchema."""
        with metrics.stage(GROUP, "decode"):
            decoded = {chunk.place: self._decode(chunk) for chunk in chunks}
        reached: dict[Place, int] = {}
        began = perf_counter()
        with self._db.transaction():
            positions.lock(self._db, GROUP, chunks)
            for place in sorted(decoded):
                reached[place] = self._fold(decoded[place])
            moved = {chunk.place: reached[chunk.place] for chunk in chunks if reached[chunk.place] > chunk.start}
            if moved:
                notify(self._db, GROUP, moved)
        metrics.observe(GROUP, "transaction", perf_counter() - began)
        metrics.RECORDS.labels(GROUP).inc(sum(reached[chunk.place] - chunk.start for chunk in chunks))
        return reached

    def _decode(self, chunk: Chunk) -> DecodedChunk:
        decoded = self._decoder.decode(chunk, category_of(self._prefix, chunk.topic))
        metrics.FALL_BACKS.labels(GROUP).inc(decoded.fell_back)
        newer = [number for number in decoded.unknown if number in self._logged]
        if newer:
            raise UnknownSchema(f"{chunk.topic}/{chunk.part}: records have the schemas {newer}, which this code lacks")
        return decoded

    def _fold(self, decoded: DecodedChunk) -> int:
        judged = self._judge(decoded)
        if judged.chunk.end > judged.chunk.start:
            self._write(judged)
        return judged.chunk.end

    def _judge(self, decoded: DecodedChunk) -> Judged:
        chunk = decoded.chunk
        category = category_of(self._prefix, chunk.topic)
        stored = core_store.read_claims(self._db, [(category, chunk.part)]).get((category, chunk.part), _FIRST)
        columns = decoded.envelopes()
        envelopes: list[Envelope] = [] if columns is not None else decoded.envelopes_one_by_one()
        frame = columns if columns is not None else envelope_frame(envelopes)
        before = core_store.read_streams(self._db, category, frame["m_stream"].unique())
        known = core_store.known_keys(self._db, _keys(frame, category))
        if columns is not None:
            whole = judge_columns(columns, category, stored.state, _versions(before), len(known))
            if whole is not None:
                return self._judged(decoded, category, stored, Verdict(whole.state, whole.taken, []), columns.head(whole.taken), before)
            envelopes = decoded.envelopes_one_by_one()
        metrics.ROW_WISE.labels(GROUP).inc(len(chunk.values))
        verdict = judge(envelopes, category, stored.state, _tables(category, before, known))
        rows = [row for group in verdict.groups for row in group.rows]
        counted = envelope_frame([e if row in set(rows) else None for row, e in enumerate(envelopes)]) if rows else frame.clear()
        return self._judged(decoded, category, stored, verdict, counted, before, envelopes)

    def _judged(
        self,
        decoded: DecodedChunk,
        category: str,
        stored: StoredClaim,
        verdict: Verdict,
        counted: pl.DataFrame,
        before: dict[str, effects.StoredStream],
        envelopes: Sequence[Envelope] = (),
    ) -> Judged:
        chunk = decoded.chunk.upto(decoded.chunk.start + verdict.taken)
        last = hashlib.sha256(chunk.values[-1] or b"").digest()[:16] if chunk.values else stored.last_hash
        voids = _voids(envelopes[: verdict.taken], set(counted["row"].to_list()), chunk.start) if envelopes else []
        return Judged(decoded, category, chunk, StoredClaim(verdict.state, last), counted, voids, before)

    def _write(self, judged: Judged) -> None:
        db, chunk = self._db, judged.chunk
        decider = self._domains.deciders[judged.category]
        first = not core_store.read_claims(db, [(judged.category, chunk.part)])
        with metrics.stage(GROUP, "states"):
            states = effects.stream_states(
                decider, judged.counted, judged.decoded, judged.before, lambda stream, version: self._history.state(db, decider, stream, version)
            )
        with metrics.stage(GROUP, "write"), db.pipeline():
            positions.move(db, GROUP, chunk)
            core_store.write_claim(db, (judged.category, chunk.part), judged.claim, first=first)
            if judged.counted.height:
                core_store.insert_outcomes(db, effects.outcomes(judged.counted, judged.decoded.rejections, chunk.start, chunk.part))
                core_store.upsert_streams(db, states)
                core_store.insert_stream_offsets(db, effects.stream_offsets(judged.counted, chunk.start, chunk.part))
        core_store.insert_voids(db, chunk.topic, chunk.part, judged.voids)
        for _, _, reason in judged.voids:
            metrics.VOIDS.labels(judged.category, reason).inc()

    def close(self) -> None:
        self._db.close()


def _keys(frame: pl.DataFrame, category: str) -> list[bytes]:
    firsts = frame.filter(pl.col("m_index") == 0).select("m_stream", "m_command_id")
    return [outcome_key(category, stream, command_id) for stream, command_id in firsts.iter_rows()]


def _versions(before: dict[str, effects.StoredStream]) -> pl.DataFrame:
    return pl.DataFrame(
        {"m_stream": list(before), "stored": [row.version for row in before.values()]}, schema={"m_stream": pl.String, "stored": pl.Int64}
    )


def _tables(category: str, before: dict[str, effects.StoredStream], known: set[bytes]) -> Tables:
    return Tables(
        version=lambda stream: before[stream].version if stream in before else 0,
        known=lambda stream, command_id: outcome_key(category, stream, command_id.bytes) in known,
    )


def _voids(envelopes: Sequence[Envelope], counted: set[int], start: int) -> list[tuple[int, int, str]]:
    """Ranges of neighbours that do not count for the same reason. Claims are no events: every reader knows them."""
    ranges: list[tuple[int, int, str]] = []
    for row, envelope in enumerate(envelopes):
        if row in counted or isinstance(envelope, Claim):
            continue
        reason, offset = "void" if isinstance(envelope, Meta) else "foreign", start + row
        if ranges and ranges[-1][1] == offset - 1 and ranges[-1][2] == reason:
            ranges[-1] = (ranges[-1][0], offset, reason)
        else:
            ranges.append((offset, offset, reason))
    return ranges
