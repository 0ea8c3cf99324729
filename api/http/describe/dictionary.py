"""The data dictionary of a domain: its read models with columns, units, origins, freshness and ways to read, as JSON. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from refold.api.http.describe.body_schemas import command_schemas, fact_schemas
from refold.api.http.describe.openapi import model_schema
from refold.api.http.downloads.formats import FORMATS
from refold.projections.tables.lineage import Lineage, Origin
from refold.projections.tables.serving import ServedLink, ServedModel
from refold.projections.tables.snapshots import Snapshot
from refold.schemas.contracts import Category

Json = dict[str, Any]
# A prepared build is as fresh as any other, so nobody is told of its code.
# Analysts' view of freshness, and the planner's estimate of rows: both cost little, and neither reads a model's rows.
NOW = """
    SELECT f.model, f.position, f.records_behind, f.last_event_at, nullif(f.detached_code, 'prepared'),
           (SELECT greatest(c.reltuples, 0)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'refold_b' || b.build AND c.relname = b.model AND c.reltuples >= 0)
      FROM refold.freshness f JOIN refold.builds b ON (b.domain, b.model, b.status) = (f.domain, f.model, 'serving')
     WHERE f.domain = %s
"""


@dataclass(frozen=True)
class Freshness:
    """How fresh a read model is, and about how many rows it has; None where Postgres has not counted yet."""

    position: str | None
    lag: int
    as_of: datetime | None
    detached: str | None
    rows: int | None

    def body(self) -> Json:
        """As the dictionary shows it."""
        as_of = None if self.as_of is None else self.as_of.isoformat().replace("+00:00", "Z")
        return {"position": self.position, "lag": self.lag, "as_of": as_of, "detached": self.detached}


def model_entry(
    model: ServedModel,
    lineage: Lineage,
    now: Mapping[str, Freshness],
    fault: str | None,
    snapshots: Sequence[Snapshot] = (),
) -> Json:
    """A read model: what a row is, where each column comes from, how to read it, and as it once was (`snapshots`)."""
    path, found = f"/v1/{model.domain}/{model.name}", _freshness(model, now)
    return {
        "name": model.name,
        "path": path,
        "description": model.doc,
        "key": model.key,
        "columns": _columns(model, lineage),
        "deleted_by": lineage.deleted_by,
        "reads": [f"/v1/{model.domain}/{name}" for name in lineage.reads],
        "query": lineage.sql,
        "freshness": None if found is None else found.body(),
        "row_estimate": None if found is None else found.rows,
        "links": _links(model, path),
        "linked": [_linked(model, link) for link in model.links],
        "sql": f"SELECT * FROM {model.domain}.{model.name} LIMIT 10",
        "snapshots": [entry(one) for one in snapshots if one.model == model.name],
        "fault": fault,
    }


def _links(model: ServedModel, path: str) -> Json:
    """The ways to read it over HTTP. A declared view is no fold of events: it has no changes to tell, and no explanation."""
    row = f"{path}/{{{','.join(model.key)}}}"
    found: Json = {"rows": path, "row": row, "downloads": {name: f"{path}?format={name}" for name in FORMATS}}
    return found if model.reads else {**found, "changes": f"{path}/changes", "explain": f"{row}/explain"}


def entry(found: Snapshot) -> Json:
    """A snapshot of a read model."""
    return {
        "name": found.snapshot,
        "position": found.position,
        "at": found.at,
        "occurred_before": found.occurred_before,
        "rows": found.rows,
        "taken": found.created_at,
        "path": f"/v1/{found.domain}/{found.model}?snapshot={found.snapshot}",
    }


def category_entry(category: Category) -> Json:
    """A category: the path of its streams, its commands with their bodies' schemas, and its facts with those of their data."""
    events = f"/v1/events/{category.domain}/{category.short}"
    facts = [{"name": name, "path": events, "schema": schema} for name, schema in fact_schemas(category).items()]
    found = {
        "name": category.short,
        "streams": f"/v1/streams/{category.domain}/{category.short}/{{stream}}",
        "commands": [
            {"name": name, "path": f"/v1/commands/{category.domain}/{category.short}/{name}", "schema": schema}
            for name, schema in command_schemas(category).items()
        ],
    }
    return found | {"facts": facts} if facts else found


def _linked(model: ServedModel, link: ServedLink) -> Json:
    """A link to rows of another model: what it is, which columns are equal, and a request that embeds them."""
    return {
        "name": link.name,
        "to": f"/v1/{model.domain}/{link.to}",
        "rows": "many" if link.many else "one",
        "columns": dict(link.pairs),
        "description": link.doc,
        "example": f"/v1/{model.domain}/{model.name}?select=*,{link.name}(*)&limit=10",
    }


def _freshness(model: ServedModel, now: Mapping[str, Freshness]) -> Freshness | None:
    """The model's own, or for a declared view that of the table furthest behind, without a count of rows."""
    if not model.reads:
        return now.get(model.name)
    tables = [now[name] for name in model.reads if name in now]
    if len(tables) < len(model.reads):
        return None
    last = max(tables, key=lambda table: table.lag)
    return Freshness(last.position, last.lag, last.as_of, last.detached, None)


def _columns(model: ServedModel, lineage: Lineage) -> list[Json]:
    shapes = model_schema(model)["properties"]
    return [
        {
            "name": column.name,
            "type": column.sql_type,
            "json": shapes[column.name].get("type", "any"),
            "nullable": column.nullable,
            "unit": column.unit or None,
            "description": column.doc,
            "from": _origin(lineage.columns.get(column.name)),
        }
        for column in model.columns
    ]


def _origin(origin: Origin | None) -> Json | None:
    if origin is None:
        return None
    return {
        "gather": origin.gather,
        "events": origin.events,
        "value": origin.value,
        "condition": origin.condition,
    }
