"""The core fold: one transaction a batch of chunks, {claim state, streams, outcomes, voids, position}, then NOTIFY.

Invariant: the tables at a position are the fold of the log before it, whatever the chunks were (fold.py has the rules); a
position moves in the transaction of the rows it speaks for, or not at all.
"""

from collections.abc import Sequence
from time import perf_counter

from refold.streams import core_store, effects, metrics, positions
from refold.streams.chunk import Chunk, Place
from refold.streams.decoded import DecodedChunk, EventDecoder
from refold.streams.domain import Domains
from refold.streams.errors import UnknownSchema
from refold.streams.failpoints import failpoint
from refold.streams.history import History
from refold.streams.judging import GROUP, Judged, judged
from refold.streams.postgres import connect_patiently, notify
from refold.streams.topics import category_of, events_topic


class CoreFold:
    """Folds chunks of all categories' events into the core's tables. One connection, one thread."""

    group = GROUP

    def __init__(
        self, url: str, prefix: str, domains: Domains, history: History, logged_schemas: frozenset[int]
    ) -> None:
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
            failpoint("core.before-write")
            for place in sorted(decoded):
                reached[place] = self._fold(decoded[place])
            moved = {chunk.place: reached[chunk.place] for chunk in chunks if reached[chunk.place] > chunk.start}
            if moved:
                notify(self._db, GROUP, moved)
                failpoint("core.before-commit")
        failpoint("core.after-commit")
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
        found = judged(self._db, decoded, category_of(self._prefix, decoded.chunk.topic))
        if found.chunk.values:
            self._write(found)
        return found.chunk.end

    def _write(self, found: Judged) -> None:
        db, chunk = self._db, found.chunk
        decider = self._domains.deciders[found.category]
        with metrics.stage(GROUP, "states"):
            states = effects.stream_states(
                decider,
                found.counted,
                found.decoded,
                found.before,
                lambda stream, version: self._history.state(db, decider, stream, version),
            )
        with metrics.stage(GROUP, "write"), db.pipeline():
            positions.move(db, GROUP, chunk)
            core_store.write_claim(db, (found.category, chunk.part), found.claim, first=found.first)
            if found.counted.height:
                rejections = found.decoded.rejections
                core_store.insert_outcomes(db, effects.outcomes(found.counted, rejections, chunk.start, chunk.part))
                core_store.upsert_streams(db, states)
                core_store.insert_stream_offsets(db, effects.stream_offsets(found.counted, chunk.start, chunk.part))
        core_store.insert_voids(db, chunk.topic, chunk.part, found.voids)
        for _, _, reason in found.voids:
            metrics.VOIDS.labels(found.category, reason).inc()

    def close(self) -> None:
        """Give the connection back."""
        self._db.close()
