"""`?snapshot=NAME`: a read model as it was at a moment, on the same paths. Its answers never change."""

from contextlib import suppress
from dataclasses import fields
from datetime import datetime

from refold.api.errors import Fault
from refold.api.http.reads.language.query_string import pairs
from refold.api.http.reads.services import ModelServices
from refold.api.http.reads.standing import ClosedModel
from refold.api.http.wire.parameters import bad_filter, shown
from refold.api.reading_errors import SnapshotUnknown
from refold.projections.errors import SnapshotInvalid
from refold.projections.tables.serving import ServedModel
from refold.projections.tables.snapshots import Snapshot, of_comment, schema_of

PARAMETER = "snapshot"
_NAMED = PARAMETER.encode()
_ONE = """
    SELECT obj_description(c.oid, 'pg_class'), 0::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = %s AND c.relname = %s AND c.relkind = 'r' AND obj_description(c.oid, 'pg_class') IS NOT NULL
"""
OF_DOMAIN = """
    SELECT obj_description(c.oid, 'pg_class'), pg_total_relation_size(c.oid)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND starts_with(n.nspname, %s || '@') AND starts_with(obj_description(c.oid, 'pg_class'), '{"snapshot":')
     ORDER BY n.nspname, c.relname
"""


async def as_of(models: ModelServices, model: ServedModel, raw: bytes) -> tuple[ServedModel, bytes]:
    """The model that a query string asks for, now or as it was, and the query string without that.

    Raises SnapshotUnknown, FilterInvalid.
    """
    if _NAMED not in raw:
        return model, raw
    names = [value for name, value in pairs(raw) if name == PARAMETER]
    if not names:
        return model, raw
    if len(names) > 1:
        raise bad_filter(PARAMETER, f"{PARAMETER} is there twice")
    kept = b"&".join(part for part in raw.split(b"&") if part.partition(b"=")[0] != _NAMED)
    return await _closed(models, model, names[0]), kept


async def _closed(models: ModelServices, model: ServedModel, name: str) -> ClosedModel:
    rows = []
    with suppress(SnapshotInvalid):
        rows = await models.reads.fetch(_ONE.encode(), (schema_of(model.domain, name), model.name))
    if not rows:
        found = await models.reads.fetch(OF_DOMAIN.encode(), (model.domain,))
        there = sorted(one.snapshot for one in (of_comment(*row) for row in found) if one.model == model.name)
        message = f"{model.name} has no snapshot {shown(name)}; there are: {', '.join(there) or 'none'}"
        raise SnapshotUnknown(message, Fault(PARAMETER, SnapshotUnknown.code, message))
    return closed_model(of_comment(*rows[0]))


def closed_model(found: Snapshot) -> ClosedModel:
    """The model whose rows are those of a snapshot. It has no links: other models stand where they stand now."""
    values = {field.name: getattr(found.served, field.name) for field in fields(found.served)}
    values |= {"domain": schema_of(found.domain, found.snapshot), "fingerprint": found.fingerprint, "links": ()}
    return ClosedModel(
        **values,
        snapshot=found.snapshot,
        positions=tuple(((topic, part), offset) for topic, part, offset in found.positions),
        at=found.at,
        parked=found.parked,
        taken=datetime.fromisoformat(found.created_at).timestamp(),
    )
