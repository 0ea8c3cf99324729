"""One moment of a model: its table, where its rows stand, and what does not count in a stretch of the log. Statements."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import msgspec

from refold.api.http.changes.ids import mark_of
from refold.api.http.changes.key_reader import Positions, StretchLimits
from refold.api.http.reads.services import Fetch
from refold.projections.partials.batch import Park
from refold.projections.tables.builds import PREPARED
from refold.projections.tables.serving import ServedModel
from refold.streams.chunk import Place
from refold.streams.core.limits import Voids

Snapshot = Callable[[], AbstractAsyncContextManager[Fetch]]
"""Opens one moment: all statements of the block see the same rows."""
Parked = tuple[int, str, str, int, int]
"""Build (0: all), category, stream, partition and first offset of a stream that waits."""

_MOMENT = """
SELECT b.build, b.fingerprint, extract(epoch FROM b.created_at)::text, b.detached_code,
       (SELECT coalesce(json_agg(json_build_array(m.topic, m.part, m.next_offset)), '[]')::text
          FROM refold.model_positions(b.domain, b.model) m WHERE m.topic = ANY(%s)),
       (SELECT coalesce(json_agg(json_build_array(p.build, p.category, p.stream, p.part, p.first_offset)
                                 ORDER BY p.category, p.stream, p.build), '[]')::text
          FROM refold.parked p WHERE p.category = ANY(%s) AND p.build IN (0, b.build)),
       (SELECT coalesce(sum(greatest(c.next_offset - coalesce(m.next_offset, 0), 0)), 0)::bigint
          FROM refold.positions c LEFT JOIN refold.model_positions(b.domain, b.model) m USING (topic, part)
         WHERE c.grp = 'core' AND c.topic = ANY(%s)),
       (SELECT to_char(max(p.last_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') FROM refold.positions p
         WHERE p.grp = CASE WHEN b.detached_code IS NULL THEN 'models' ELSE 'build:' || b.build END AND p.topic = ANY(%s))
  FROM refold.builds b WHERE b.domain = %s AND b.model = %s AND b.status = 'serving'
"""
_LIMITS = """
WITH stretch AS (SELECT * FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[]) AS s(topic, part, low, high))
SELECT 'void', v.topic, v.part, v.first_offset, v.last_offset, '' FROM stretch s JOIN refold.voids v
    ON v.topic = s.topic AND v.part = s.part AND v.last_offset >= s.low AND v.first_offset < s.high
UNION ALL
SELECT 'aside', a.topic, a.part, a.record_offset, a.record_offset, a.reason FROM stretch s JOIN refold.set_aside a
    ON a.topic = s.topic AND a.part = s.part AND a.record_offset >= s.low AND a.record_offset < s.high
"""


@dataclass(frozen=True)
class Moment:
    """A model's serving table at one moment. `mark`: of the table and the streams that wait in it."""

    fingerprint: str
    positions: dict[Place, int]
    parked: frozenset[Parked]
    table: tuple[Any, ...]
    lag: int
    as_of: str | None
    detached: str | None

    @property
    def mark(self) -> str:
        return mark_of(*self.table, sorted(self.parked))

    def follows(self, before: "Moment") -> bool:
        """Whether the rows differ from an earlier moment's by the events between the two alone.

        They do not if another table serves, or if a stream that waited was let go on: its events stand further back.
        """
        return self.table == before.table and self.parked >= before.parked

    def about(self, token: str) -> dict[str, object]:
        """What clients are told of it."""
        said: dict[str, object] = {"position": token, "lag": self.lag, "as_of": self.as_of}
        if self.detached not in (None, PREPARED):
            said["detached"] = self.detached
        return said


async def moment(fetch: Fetch, model: ServedModel, prefix: str) -> Moment | None:
    """How the model stands now; None if no table of it serves."""
    topics, categories = [f"{prefix}{name}.events" for name in model.categories], list(model.categories)
    rows = await fetch(_MOMENT, (topics, categories, topics, topics, model.domain, model.name))
    if not rows:
        return None
    build, fingerprint, created, detached, positions, parked, lag, as_of = rows[0]
    return Moment(
        fingerprint,
        {(topic, part): at for topic, part, at in msgspec.json.decode(positions)},
        frozenset(tuple(park) for park in json.loads(parked)),
        (model.domain, model.name, build, fingerprint, created),
        lag,
        as_of,
        detached,
    )


async def limits_of(fetch: Fetch, start: Positions, end: Positions, parked: frozenset[Parked]) -> StretchLimits:
    """What does not count between two positions."""
    places = sorted(end)
    values = (
        [topic for topic, _ in places],
        [part for _, part in places],
        [start[place] for place in places],
        [end[place] for place in places],
    )
    voids: dict[Place, list[tuple[int, int]]] = {}
    aside: dict[Place, dict[int, str]] = {}
    for kind, topic, part, first, last, reason in await fetch(_LIMITS, values):
        if kind == "void":
            voids.setdefault((topic, part), []).append((first, last))
        else:
            aside.setdefault((topic, part), {})[first] = reason
    said: Voids = voids
    return StretchLimits(said, [Park(*park) for park in sorted(parked)], aside)
