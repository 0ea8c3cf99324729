"""Where a model's rows stand, as a part of the statement that reads them, or alone: then no read model's table is touched."""

from collections.abc import Sequence
from typing import Any

import msgspec

from refold.api.http.reads.freshness import Standing
from refold.projections.tables.serving import ServedModel

# A view is no fresher than the oldest of the tables that it reads: one of them may be detached.
STANDING = """
"_Serving" AS (
    SELECT b.build, b.fingerprint, b.created_at, b.detached_code FROM refold.builds b
     WHERE b.domain = %s AND b.model = ANY(%s::text[]) AND b.status = 'serving'
), "_Reached" AS (
    SELECT m.topic, m.part, min(m.next_offset) AS next_offset, min(m.last_at) AS last_at FROM refold.positions m
     WHERE m.topic = ANY(%s::text[])
       AND m.grp IN (SELECT CASE WHEN s.detached_code IS NULL THEN 'models' ELSE 'build:' || s.build END FROM "_Serving" s
                     UNION ALL SELECT 'models' WHERE NOT EXISTS (SELECT FROM "_Serving"))
     GROUP BY 1, 2
), "_Behind" AS (
    SELECT sum(greatest(c.next_offset - coalesce(r.next_offset, 0), 0))::bigint AS records,
           max(coalesce(extract(epoch FROM now() - r.last_at), 1e9)) FILTER (WHERE c.next_offset > coalesce(r.next_offset, 0)) AS age
      FROM refold.positions c LEFT JOIN "_Reached" r USING (topic, part) WHERE c.grp = 'core' AND c.topic = ANY(%s::text[])
), "_Parked" AS (
    SELECT count(*) AS streams, md5(string_agg(concat_ws(' ', p.build, p.category, p.stream, p.first_offset), ','
                                               ORDER BY p.category, p.stream, p.build)) AS which
      FROM refold.parked p WHERE p.category = ANY(%s::text[]) AND (p.build = 0 OR p.build IN (SELECT build FROM "_Serving"))
), "_Standing" AS (
    SELECT json_build_array(
        (SELECT coalesce(json_agg(json_build_array(topic, part, next_offset)), '[]') FROM "_Reached"),
        coalesce((SELECT records FROM "_Behind"), 0),
        (SELECT streams FROM "_Parked"),
        (SELECT min(detached_code) FROM "_Serving"),
        (SELECT to_char(max(last_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') FROM "_Reached"),
        coalesce((SELECT age FROM "_Behind"), 0)::float8,
        concat_ws(' ', (SELECT string_agg(concat_ws(' ', build, fingerprint, extract(epoch FROM created_at)), ',' ORDER BY build)
                          FROM "_Serving"), (SELECT which FROM "_Parked")),
        extract(epoch FROM now())::float8,
        extract(epoch FROM clock_timestamp())::float8)::text AS "_Is"
)
"""
"""Named parts of a WITH; `"_Standing"."_Is"` is one text for `standing_of`. It binds `standing_values`."""
ALONE = f'WITH {STANDING} SELECT "_Is" FROM "_Standing"'


def standing_values(model: ServedModel, prefix: str) -> list[Any]:
    """The values that STANDING binds, in order."""
    topics = [f"{prefix}{name}.events" for name in model.categories]
    return [model.domain, list(model.reads or (model.name,)), topics, topics, list(model.categories)]


def standing_of(text: str, model: ServedModel, prefix: str) -> Standing:
    """The standing that Postgres wrote."""
    found: Sequence[Any] = msgspec.json.decode(text)
    positions, behind, parked, detached, as_of, age, table, now, seen = found
    stands = {(topic.removeprefix(prefix), part): at for topic, part, at in positions}
    return Standing(stands, behind, parked, detached, as_of, age, f"{model.fingerprint} {table}", now, seen)
