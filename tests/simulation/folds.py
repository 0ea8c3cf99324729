"""The folds of the simulation: the shipped rules and read models, on tables in memory."""

from collections.abc import Sequence
from dataclasses import replace

from refold.projections.declaring.declaration import Rollup
from refold.projections.declaring.expressions import STREAM
from refold.projections.declaring.gathering import events, key, rejections
from refold.projections.live.limits import FoldLimits
from refold.projections.partials.by_rows import partial_columns
from refold.projections.partials.row_batch import RowReader
from refold.projections.tables.layout import layout_of
from refold.schemas.codec import read_envelope
from refold.schemas.identity import outcome_key
from refold.schemas.meta import Claim, Meta, Voiding
from refold.streams.chunk import Chunk, Place
from refold.streams.errors import Lost
from refold.streams.rules import by_rows, judge
from refold.streams.rules.effects import StoredStream
from refold.streams.rules.judge import ClaimState, Envelope, Tables
from tests.simulation.domain import CATALOG, CATEGORY, DECIDER, Added
from tests.simulation.reference import Effect
from tests.simulation.world import CODEC, EVENTS, NAME, Postgres, World

added, refused = events(CATEGORY, Added), rejections(CATEGORY)
COUNTERS = Rollup(
    name="counters",
    domain="sim",
    description="One row for each counter.",
    key={"stream": key(STREAM, "The counter.")},
    columns={
        "events": added.count("Events."),
        "seen": added.sum("seen", "What they saw, in all."),
        "refused": refused.count("Rejected commands."),
    },
)
LAYOUT = layout_of(COUNTERS)
READER = RowReader(CATALOG, NAME, (*added.types, *refused.types))


class SimulatedCore:
    """A `ChunkFold` on the simulated tables: the real rules, and the compare-and-set as `positions.lock` does it."""

    group = "core"
    topics = (EVENTS[0],)

    def __init__(self, world: World) -> None:
        self._world = world

    def stored(self, places: Sequence[Place]) -> dict[Place, int]:
        return dict.fromkeys(places, self._world.postgres.position)

    def reconnect(self) -> None: ...

    def close(self) -> None: ...

    def apply(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        """One transaction: compare, judge, set."""
        (chunk,) = chunks
        before = self._world.postgres
        if not self.follows(before, chunk):
            raise Lost([chunk.place])
        records = [read_envelope(value) for value in chunk.values]
        tables = Tables(
            version=lambda stream: before.streams[stream].version if stream in before.streams else 0,
            known=lambda stream, command: outcome_key(NAME, stream, command.bytes) in before.outcomes,
        )
        verdict = judge.judge(
            records,
            NAME,
            before.claim or ClaimState(),
            tables,
            lambda row, claim: self._taken_out(chunk.start + row, claim),
        )
        streams, outcomes = dict(before.streams), dict(before.outcomes)
        for group in verdict.groups:
            _effect(chunk, records, group.rows, streams, outcomes)
        counted = {row for group in verdict.groups for row in group.rows}
        voids = [(low, high) for low, high, _ in by_rows._voids(records[: verdict.taken], counted, chunk.start)]
        at = chunk.start + verdict.taken
        self._world.commit(
            replace(
                before,
                position=at,
                claim=verdict.state,
                streams=streams,
                outcomes=outcomes,
                voids=[*before.voids, *voids],
            )
        )
        return {chunk.place: at}

    def _taken_out(self, offset: int, claim: Claim) -> bool:
        """The look ahead, to the end of the log as it is now."""
        ahead = self._world.envelopes[offset + 1 :]
        return any(isinstance(other, Voiding) and judge.names(other, offset, claim) for other in ahead)

    @staticmethod
    def follows(tables: Postgres, chunk: Chunk) -> bool:
        """Compare-and-set, on the chunk's own start."""
        return tables.position == chunk.start


def _effect(
    chunk: Chunk,
    records: Sequence[Envelope],
    rows: Sequence[int],
    streams: dict[str, StoredStream],
    outcomes: dict[bytes, Effect],
) -> None:
    metas = [m for m in (records[row] for row in rows) if isinstance(m, Meta)]
    first, last = metas[0], metas[-1]
    events = len(metas) if first.is_event else 0
    outcomes[outcome_key(NAME, first.stream, first.command_id.bytes)] = Effect(
        not first.is_event, first.base_version, events, first.body_hash
    )
    if first.is_event:
        stored = streams.get(first.stream)
        state = DECIDER.fold(
            tuple(CODEC.read_event(chunk.values[row])[1] for row in rows),
            DECIDER.load(stored.state if stored else None),
        )
        streams[first.stream] = StoredStream(last.version, DECIDER.dump(state), DECIDER.fingerprint)


class SimulatedModels:
    """A `ChunkFold` for read models: the shipped limits, reader of events and partial results, merged by adding them."""

    group = "models"
    topics = (EVENTS[0],)

    def __init__(self, world: World) -> None:
        self._world = world

    def stored(self, places: Sequence[Place]) -> dict[Place, int]:
        return dict.fromkeys(places, self._world.postgres.models_at)

    def reconnect(self) -> None: ...

    def close(self) -> None: ...

    def apply(self, chunks: Sequence[Chunk]) -> dict[Place, int]:
        """One transaction: limits, compare, merge, set."""
        before = self._world.postgres
        allowed = FoldLimits({EVENTS: before.position}, {EVENTS: before.voids}, [])
        reached = {chunk.place: chunk.start for chunk in chunks}
        for chunk in allowed.offered(chunks):
            if not self.follows(before, chunk):
                raise Lost([chunk.place])
            found = READER.read([chunk], allowed.voids)
            assert found is not None
            rows = _merged(before, partial_columns(LAYOUT, found))
            self._world.commit_models(replace(before, models_at=chunk.end, rows=rows))
            reached[chunk.place] = chunk.end
        return reached

    @staticmethod
    def follows(tables: Postgres, chunk: Chunk) -> bool:
        """Compare-and-set, on the chunk's own start."""
        return tables.models_at == chunk.start


def _merged(before: Postgres, partial: dict[str, list[int]]) -> dict[str, tuple[int, int, int]]:
    """As `INSERT … ON CONFLICT DO UPDATE` adds."""
    rows = dict(before.rows)
    columns = (partial[name] for name in ("stream", "events", "seen", "refused"))
    for stream, number, seen, refused_ in zip(*columns, strict=True):
        there = rows.get(str(stream), (0, 0, 0))
        rows[str(stream)] = there[0] + number, there[1] + int(seen), there[2] + refused_
    return rows
