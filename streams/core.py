"""The core fold: one transaction a batch of chunks, {claim state, streams, outcomes, voids, position}, then NOTIFY.

Invariant: the tables at a position are the fold of the log before it, whatever the chunks were (fold.py has the rules); a
position moves in the transaction of the rows it speaks for, or not at all.
"""

import hashlib
from collections.abc import Sequence
from functools import partial

from refold.schemas.codec import Codec
from refold.schemas.columns import read_heads
from refold.schemas.meta import Meta
from refold.streams import by_columns, by_rows, core_store, metrics, positions
from refold.streams.chunk import Chunk, Place
from refold.streams.core_store import StoredClaim
from refold.streams.decoded import DecodedChunk, EventDecoder
from refold.streams.domain import AnyDecider, Domains
from refold.streams.effects import Before, Folded
from refold.streams.errors import UnknownSchema
from refold.streams.failpoints import failpoint
from refold.streams.history import History
from refold.streams.postgres import connect_patiently, notify
from refold.streams.set_aside import original
from refold.streams.topics import category_of, events_topic

GROUP = "core"
FEW = 64
"""Columns cost some milliseconds before their first record: so many of a live chunk are folded one by one in less."""


class CoreFold:
    """Folds chunks of all categories' events into the core's tables. One connection, one thread."""

    group = GROUP

    def __init__(
        self, url: str, prefix: str, domains: Domains, history: History, logged_schemas: frozenset[int]
    ) -> None:
        self._url, self._prefix, self._domains, self._history = url, prefix, domains, history
        self._logged = logged_schemas
        self._decoder = EventDecoder(domains.catalog)
        self._codec = Codec(domains.catalog)
        self.topics: Sequence[str] = [events_topic(prefix, name) for name in sorted(domains.categories)]
        self._db = connect_patiently(url, application_name=GROUP, by_key=True)

    def reconnect(self) -> None:
        """A new connection, once Postgres is back."""
        self._db.close()
        self._db = connect_patiently(self._url, application_name=GROUP, by_key=True)

    def stored(self, places: Sequence[Place]) -> dict[Place, int]:
        """Where the core stands."""
        return positions.stored(self._db, GROUP, places)

    def apply(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        """Fold as far as groups are whole, in one transaction. Raises Lost, NewerRules, UnknownSchema."""
        self._refuse_unknown(chunks)
        with metrics.stage(GROUP, "decode"):
            decoded = {chunk.place: self._decoded(chunk) for chunk in chunks if len(chunk.values) > FEW}
        reached: dict[Place, int] = {}
        with metrics.stage(GROUP, "transaction"), self._db.pipeline(), self._db.transaction():
            positions.lock(self._db, GROUP, chunks)
            failpoint("core.before-write")
            for chunk in sorted(chunks, key=lambda chunk: chunk.place):
                folded = self._fold(chunk, decoded.get(chunk.place))
                reached[chunk.place] = folded.chunk.end
            moved = {chunk.place: reached[chunk.place] for chunk in chunks if reached[chunk.place] > chunk.start}
            if moved:
                notify(self._db, GROUP, moved)
                failpoint("core.before-commit")
        failpoint("core.after-commit")
        metrics.RECORDS.labels(GROUP).inc(sum(reached[chunk.place] - chunk.start for chunk in chunks))
        return reached

    def close(self) -> None:
        """Give the connection back."""
        self._db.close()

    def _refuse_unknown(self, chunks: Sequence[Chunk]) -> None:
        """A schema that the log has and this code lacks: a newer release writes; wait for the upgrade."""
        for chunk in chunks:
            unknown = set(read_heads(chunk.values).present) - self._domains.catalog.by_id.keys()
            if newer := sorted(unknown & self._logged):
                raise UnknownSchema(
                    f"{chunk.topic}/{chunk.part}: records have the schemas {newer}, which this code lacks"
                )

    def _decoded(self, chunk: Chunk) -> DecodedChunk:
        decoded = self._decoder.decode(chunk, category_of(self._prefix, chunk.topic))
        metrics.FALL_BACKS.labels(GROUP).inc(decoded.fell_back)
        metrics.UPCAST.labels(GROUP).inc(len(decoded.upcast))
        return decoded

    def _fold(self, chunk: Chunk, decoded: DecodedChunk | None) -> Folded:
        decider = self._domains.deciders[category_of(self._prefix, chunk.topic)]
        with metrics.stage(GROUP, "rules"):
            before, folded = self._judged(chunk, decoded, decider)
        if folded.chunk.values:
            with metrics.stage(GROUP, "write"):
                self._write(decider.category.name, before, folded)
        return folded

    def _judged(self, chunk: Chunk, decoded: DecodedChunk | None, decider: AnyDecider) -> tuple[Before, Folded]:
        db, category = self._db, decider.category.name
        refold = partial(self._history.state, db, decider)
        columns = decoded.envelopes() if decoded else None
        if decoded is not None and columns is not None:
            names, keys = columns["m_stream"].unique().to_list(), by_columns.keys_of(columns, category)
            before = core_store.before(db, category, chunk.part, names, keys)
            folded = by_columns.fold_by_columns(decoded, columns, keys, decider, before, refold)
            if folded is not None:
                return before, folded
        metrics.ROW_WISE.labels(GROUP).inc(len(chunk.values) if decoded else 0)
        envelopes = by_rows.envelopes_of(chunk)
        streams = {envelope.stream for envelope in envelopes if isinstance(envelope, Meta)}
        before = core_store.before(db, category, chunk.part, streams, by_rows.keys_of(envelopes, category))
        return before, by_rows.fold_by_rows(chunk, envelopes, decider, self._codec, before, refold)

    def _write(self, category: str, before: Before, folded: Folded) -> None:
        db, chunk = self._db, folded.chunk
        claim = StoredClaim(folded.state, hashlib.sha256(original(chunk.values[-1]) or b"").digest()[:16])
        core_store.insert_voids(db, chunk.topic, chunk.part, folded.voids)
        positions.move(db, GROUP, chunk)
        core_store.write_claim(db, (category, chunk.part), claim, first=before.first)
        if folded.effects is not None:
            core_store.write_effects(db, folded.effects)
        for _, _, reason in folded.voids:
            metrics.VOIDS.labels(category, reason).inc()
