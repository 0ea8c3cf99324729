"""Where a model's rows stand, as a part of the statement that reads them, or alone: then no read model's table is touched.

Postgres gives the few rows that tell it, and Python adds them up: joins and aggregates over them took longer than a row's own lookup.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from refold.api.http.reads.freshness import Standing
from refold.api.http.reads.positions import TopicPart
from refold.projections.tables.builds import PREPARED
from refold.projections.tables.serving import ServedModel


@dataclass(frozen=True)
class ClosedModel(ServedModel):
    """A read model as it was at a moment: `domain` is the schema of its snapshot. `taken`: seconds since 1970."""

    snapshot: str = ""
    positions: tuple[tuple[TopicPart, int], ...] = ()
    at: str | None = None
    parked: int = 0
    taken: float = 0.0

    def standing(self) -> Standing:
        """Where the rows stand, permanently."""
        now = time.time()
        table = f"snapshot {self.snapshot} {self.fingerprint} {self.taken}"
        at = None if self.at is None else datetime.fromisoformat(self.at).timestamp()
        as_of, age = (None, None) if at is None else (_time(at), max(now - at, 0.0))
        return Standing(dict(self.positions), None, self.parked, None, as_of, age, table, now, self.taken)


STANDING = """
"_Serving" AS MATERIALIZED (
    SELECT b.build, b.fingerprint, b.created_at, b.detached_code FROM refold.builds b
     WHERE b.domain = %s AND b.model = ANY(%s::text[]) AND b.status = 'serving'
), "_Standing" AS (
    SELECT json_build_array(
        (SELECT json_agg(json_build_array(p.grp, p.topic, p.part, p.next_offset, extract(epoch FROM p.last_at)))
           FROM refold.positions p
          WHERE p.topic = ANY(%s::text[])
            AND p.grp = ANY(ARRAY['core', 'models'] || ARRAY(SELECT 'build:' || build FROM "_Serving" WHERE detached_code IS NOT NULL))),
        (SELECT json_agg(json_build_array(build, fingerprint, extract(epoch FROM created_at), detached_code) ORDER BY build)
           FROM "_Serving"),
        (SELECT json_build_array(count(*), md5(string_agg(concat_ws(' ', p.build, p.category, p.stream, p.first_offset), ','
                                                          ORDER BY p.category, p.stream, p.build)))
           FROM refold.parked p
          WHERE p.category = ANY(%s::text[]) AND (p.build = 0 OR p.build IN (SELECT build FROM "_Serving"))),
        (SELECT concat_ws(' ', v.fingerprint, v.changed_at) FROM refold.views v
          WHERE v.domain = %s AND v.name = %s AND v.serving),
        extract(epoch FROM now()), extract(epoch FROM clock_timestamp()))::text AS "_Is"
)
"""
"""Named parts of a WITH; `"_Standing"."_Is"` is one text for `standing_of`. It binds `standing_values`."""
ALONE = f'WITH {STANDING} SELECT "_Is" FROM "_Standing"'
_UNTOLD = (None, PREPARED)
"""Codes of builds that are kept fresh, so that readers are told of no other code."""
_UNKNOWN_S = 1e9
"""Age of rows that show no record of a partition yet."""


def standing_values(model: ServedModel, prefix: str) -> list[Any]:
    """The values that STANDING binds, in order."""
    topics = [f"{prefix}{name}.events" for name in model.categories]
    return [model.domain, list(model.reads or (model.name,)), topics, list(model.categories), model.domain, model.name]


def standing_of(text: str, model: ServedModel, prefix: str) -> Standing:
    """The standing that Postgres wrote. A view is no fresher than the oldest table that it reads: one may be detached."""
    if isinstance(model, ClosedModel):
        return model.standing()
    positions, serving, (parked, waiting), view, now, seen = msgspec.json.decode(text)
    builds: Sequence[Any] = serving or ()
    groups = {"models" if code is None else f"build:{build}" for build, _, _, code in builds} or {"models"}
    core: dict[TopicPart, int] = {}
    reached: dict[TopicPart, tuple[int, float | None]] = {}
    for group, topic, part, offset, at in positions or ():
        place = topic.removeprefix(prefix), part
        if group == "core":
            core[place] = offset
        if group in groups:
            known = reached.get(place)
            reached[place] = (offset, at) if known is None or offset < known[0] else known
    behind, age = _behind(core, reached, now)
    newest = max((at for _, at in reached.values() if at is not None), default=None)
    codes = [code for *_, code in builds if code not in _UNTOLD]
    return Standing(
        {place: offset for place, (offset, _) in reached.items()},
        behind,
        parked,
        min(codes, default=None),
        None if newest is None else _time(newest),
        age,
        f"{model.fingerprint} {builds} {waiting} {view}",
        now,
        seen,
    )


def _behind(
    core: dict[TopicPart, int], reached: dict[TopicPart, tuple[int, float | None]], now: float
) -> tuple[int, float]:
    """How many records are missing, and how old the rows may be for that."""
    behind, age = 0, 0.0
    for place, end in core.items():
        offset, at = reached.get(place, (0, None))
        if end > offset:
            behind += end - offset
            age = max(age, _UNKNOWN_S if at is None else now - at)
    return behind, age


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
