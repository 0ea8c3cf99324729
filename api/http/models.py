"""A read model over HTTP: parse (query_request), plan (query_plan), query (here), answer (here)."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation
from psycopg import sql

from refold.api.errors import DomainUnknown, ModelUnknown, PositionNotReached, RowAbsent
from refold.api.http.answer import Answer
from refold.api.http.command_answer import JSON
from refold.api.http.command_request import read_wait
from refold.api.http.model_faults import faults_said
from refold.api.http.positions import Place, Positions, missing, read_token, token
from refold.api.http.query_plan import Plan, plan_query, plan_row
from refold.api.http.query_request import read_key, read_query, shown
from refold.api.http.served_now import as_served
from refold.api.http.services import ModelServices
from refold.projections.builds import OTHER_CODE
from refold.projections.serving import ServedModel

DEFAULT_WAIT_S = 5.0
Services = NamedDependency[SkipValidation[ModelServices]]
AnyRequest = Request[Any, Any, Any]

# Rows and the position that they reflect come from one statement, so from one snapshot.
_PAGE = sql.SQL("""
WITH reached AS ({reached}), serving AS (
    SELECT b.build, b.detached_code FROM refold.builds b WHERE b.domain = %s AND b.model = {models} AND b.status = 'serving'
)
SELECT (SELECT coalesce(json_agg(page), '[]')::text FROM ({rows}) page),
       (SELECT coalesce(json_agg(json_build_array(topic, part, next_offset)), '[]')::text FROM reached),
       (SELECT coalesce(sum(greatest(c.next_offset - coalesce(m.next_offset, 0), 0)), 0)::bigint
          FROM refold.positions c LEFT JOIN reached m USING (topic, part)
         WHERE c.grp = 'core' AND c.topic = ANY(%s)),
       (SELECT count(*) FROM refold.parked p
         WHERE p.category = ANY(%s) AND (p.build = 0 OR p.build IN (SELECT build FROM serving))),
       (SELECT min(detached_code) FROM serving)
""")
_OF_TABLE = {
    "reached": sql.SQL(
        "SELECT m.topic, m.part, m.next_offset FROM refold.model_positions(%s, %s) m WHERE m.topic = ANY(%s)"
    ),
    "models": sql.SQL("%s"),
}
# A view is no fresher than the oldest of the tables that it reads: one of them may be detached.
_OF_VIEW = {
    "reached": sql.SQL("""
        SELECT m.topic, m.part, min(m.next_offset) AS next_offset
          FROM (SELECT %s::text AS domain, unnest(%s::text[]) AS model) n, refold.model_positions(n.domain, n.model) m
         WHERE m.topic = ANY(%s) GROUP BY 1, 2"""),
    "models": sql.SQL("ANY(%s::text[])"),
}


@dataclass(frozen=True)
class Page:
    """Rows of a read model, the position they reflect, and what is known to be missing from them."""

    rows: list[dict[str, Any]]
    positions: Positions
    behind: int
    parked: int
    detached: str | None


@get("/v1/{domain:str}/{model:str}")
@as_served
async def read_rows(request: AnyRequest, models: Services, domain: FromPath[str], model: FromPath[str]) -> Answer:
    """A page of rows."""
    served = find_model(models, domain, model)
    plan = plan_query(served, read_query(request.scope["query_string"]))
    page = await _fresh_page(models, plan, request.headers)
    rows, more = page.rows[: plan.limit], len(page.rows) > plan.limit
    body: dict[str, Any] = {"rows": rows, "next": None, "position": token(page.positions)}
    headers = _headers(page)
    if more:
        body["next"] = _next_path(request, plan.cursor_after(rows[-1]))
        headers["Link"] = f'<{body["next"]}>; rel="next"'
    return Answer(msgspec.json.encode(body), media_type=JSON, headers=headers)


@get("/v1/{domain:str}/{model:str}/{key:str}")
@as_served
async def read_row(
    request: AnyRequest, models: Services, domain: FromPath[str], model: FromPath[str], key: FromPath[str]
) -> Answer:
    """One row by its key."""
    served = find_model(models, domain, model)
    raw = request.scope["raw_path"].rstrip(b"/").rpartition(b"/")[2]
    page = await _fresh_page(models, plan_row(served, read_key(raw)), request.headers, by_key=True)
    if not page.rows:
        raise RowAbsent(f"{served.name} has no row {shown(key)} at {token(page.positions) or 'the beginning'}")
    body = {"row": page.rows[0], "position": token(page.positions)}
    return Answer(msgspec.json.encode(body), media_type=JSON, headers=_headers(page))


def find_model(models: ModelServices, domain: str, name: str) -> ServedModel:
    """The read model of a path. Raises DomainUnknown or ModelUnknown."""
    found = models.models.get((domain, name))
    if found is None:
        known = sorted(model for of, model in models.models if of == domain)
        if not known:
            raise DomainUnknown(f"no domain {shown(domain)}; there are: {', '.join(models.domains.names)}")
        raise ModelUnknown(f"no read model {shown(name)} in {domain}; there are: {', '.join(known)}")
    return found


async def _fresh_page(models: ModelServices, plan: Plan, headers: Mapping[str, str], *, by_key: bool = False) -> Page:
    """The page, once it reflects `Refold-Min-Position`. Raises PositionNotReached, never answers staler."""
    wanted = _wanted(models, plan.model, headers.get("refold-min-position"))
    wait = read_wait(headers, DEFAULT_WAIT_S)
    until = asyncio.get_running_loop().time() + wait
    if wait and models.reads.is_behind(wanted):
        await models.reads.moved(wanted, wait)
    while True:
        page = await _page(models, plan, by_key=by_key)
        left = missing(wanted, page.positions)
        remaining = until - asyncio.get_running_loop().time()
        if not left:
            return page
        if remaining <= 0 or page.detached not in (None, OTHER_CODE):
            stands = f"detached ({page.detached})" if page.detached else "behind"
            place = token(page.positions) or "the beginning"
            raise PositionNotReached(f"{plan.model.name} is {stands}: it stands at {place}, not at {token(left)}")
        await models.reads.moved(left, remaining)


def _wanted(models: ModelServices, model: ServedModel, text: str | None) -> dict[Place, int]:
    """Of a token, what concerns this model: other categories' events never reach it."""
    if text is None:
        return {}
    asked = read_token(text, (f"{name}.events" for name in models.domains.categories))
    ours = {f"{name}.events" for name in model.categories}
    return {place: offset for place, offset in asked.items() if place[0] in ours}


async def _page(models: ModelServices, plan: Plan, *, by_key: bool) -> Page:
    model, categories = plan.model, list(plan.model.categories)
    topics = [f"{models.topic_prefix}{name}.events" for name in categories]
    named = [model.domain, list(model.reads) if model.reads else model.name]
    values = [*named, topics, *named, *plan.values, topics, categories]
    async with faults_said(models.reads, model):
        if by_key:
            found = await models.reads.look_up(_by_key(models.reads.by_key, plan), values)
        else:
            found = await models.reads.fetch(_statement(plan), values)
    ((rows, positions, behind, parked, detached),) = found
    stands = {(topic.removeprefix(models.topic_prefix), part): at for topic, part, at in msgspec.json.decode(positions)}
    return Page(msgspec.json.decode(rows), stands, behind, parked, detached)


def _statement(plan: Plan) -> sql.Composed:
    return _PAGE.format(rows=plan.rows(), **(_OF_VIEW if plan.model.reads else _OF_TABLE))


def _by_key(statements: dict[tuple[str, str], bytes], plan: Plan) -> bytes:
    """The statement that finds one row: the same for all of a model's."""
    name = plan.model.domain, plan.model.name
    if name not in statements:
        statements[name] = _statement(plan).as_bytes()
    return statements[name]


def _headers(page: Page) -> dict[str, str]:
    headers = {"Refold-Position": token(page.positions), "Refold-Lag": str(page.behind)}
    if page.parked:
        headers["Refold-Parked"] = str(page.parked)
    if page.detached:
        headers["Refold-Detached"] = page.detached
    return headers


def _next_path(request: AnyRequest, cursor: str) -> str:
    kept = [
        part for part in request.scope["query_string"].decode().split("&") if part and not part.startswith("cursor=")
    ]
    return f"{request.scope['path']}?{'&'.join([*kept, f'cursor={cursor}'])}"


ROUTES = Router("/", route_handlers=[read_rows, read_row])
