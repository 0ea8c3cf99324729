"""A read model over HTTP: parse (`request`), plan (`plan`), query (here), answer (here)."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import psycopg
from litestar import Request, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation
from psycopg import sql

from refold.api.errors import CursorExpired, DomainUnknown, ModelUnknown, PositionNotReached, RowAbsent
from refold.api.http.commands.request import read_wait
from refold.api.http.reads.column_values import Value, bound, not_of
from refold.api.http.reads.explain import Services as Why
from refold.api.http.reads.explain import explain_row
from refold.api.http.reads.keyset import not_ours
from refold.api.http.reads.model_faults import faults_said
from refold.api.http.reads.plan import QueryPlan, plan_query, plan_row
from refold.api.http.reads.positions import Positions, TopicPart, missing, read_token, token
from refold.api.http.reads.request import read_key, read_query
from refold.api.http.reads.row_keys import explained_key
from refold.api.http.reads.served_now import as_served
from refold.api.http.reads.services import ModelReads, ModelServices
from refold.api.http.wire.answer import JSON, Answer
from refold.api.http.wire.parameters import refuse_unknown, shown
from refold.api.http.wire.paths import ANY, raw_behind
from refold.projections.tables.builds import APART
from refold.projections.tables.serving import ServedModel

DEFAULT_WAIT_S = 5.0
MOST_LINK = 8000
"""Most bytes of a `Link`: clients refuse an answer with longer headers. `Refold-Cursor` is always there."""
Services = NamedDependency[SkipValidation[ModelServices]]
AnyRequest = Request[Any, Any, Any]

# Rows and the position that they reflect come from one statement, so from one snapshot.
_PAGE = sql.SQL("""
WITH {tables}, "_Reached" AS ({reached}), "_Serving" AS (
    SELECT b.build, b.detached_code FROM refold.builds b WHERE b.domain = %s AND b.model = {models} AND b.status = 'serving'
)
SELECT ({rows}),
       (SELECT coalesce(json_agg(json_build_array("_At".topic, "_At".part, "_At".next_offset)), '[]')::text FROM "_Reached" "_At"),
       (SELECT coalesce(sum(greatest("_Core".next_offset - coalesce("_At".next_offset, 0), 0)), 0)::bigint
          FROM refold.positions "_Core" LEFT JOIN "_Reached" "_At" USING (topic, part)
         WHERE "_Core".grp = 'core' AND "_Core".topic = ANY(%s)),
       (SELECT count(*) FROM refold.parked p
         WHERE p.category = ANY(%s) AND (p.build = 0 OR p.build IN (SELECT build FROM "_Serving"))),
       (SELECT min(detached_code) FROM "_Serving")
       {ends}
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
    """Rows of a read model as JSON texts, the position they reflect, and the events known to be missing from them.

    `ends`: the last arguments of `Plan.cursor_after`; None if no page follows.
    """

    rows: list[str]
    positions: Positions
    behind: int
    parked: int
    detached: str | None
    ends: tuple[list[Value] | None, list[str]] | None = None

    @property
    def position(self) -> str:
        return token(self.positions)


@get("/v1/{domain:str}/{model:str}", parameters=ANY)
@as_served
async def read_rows(request: AnyRequest, models: Services, domain: FromPath[str], model: FromPath[str]) -> Answer:
    """A page of rows. A path that ends with a slash is one of a row, whose key is empty or begins with a slash."""
    key = raw_behind(request, "v1", domain, model)
    if key is not None:
        refuse_unknown(request.scope["query_string"], ())
        return await _row(request, models, find_model(models, domain, model), key)
    served = find_model(models, domain, model)
    plan = plan_query(served, read_query(request.scope["query_string"]))
    page = await _fresh_page(models, plan, request.headers)
    headers = _headers(page) | {"Content-Range": _range(plan.seen, len(page.rows))}
    if page.ends is not None:
        headers["Refold-Cursor"] = cursor = plan.cursor_after(len(page.rows), *page.ends)
        following = _next_path(request, cursor)
        if len(following) <= MOST_LINK:
            headers["Link"] = f'<{following}>; rel="next"'
    return Answer(f"[{','.join(page.rows)}]".encode(), media_type=JSON, headers=headers)


@get("/v1/{domain:str}/{model:str}/{key:path}", parameters=ANY)
async def read_row(
    request: AnyRequest, models: Services, why: Why, domain: FromPath[str], model: FromPath[str]
) -> Answer:
    """One row by its key: all that is behind the model's name, since a proxy may have decoded a slash in it. Or why it is as it is."""
    key = explained_key(raw_behind(request, "v1", domain, model) or b"")
    if key is not None:
        return await explain_row(request, why, domain, model, key)
    return await _read_row(request=request, models=models, domain=domain, model=model)


@as_served
async def _read_row(request: AnyRequest, models: ModelServices, domain: str, model: str) -> Answer:
    refuse_unknown(request.scope["query_string"], ())
    key = raw_behind(request, "v1", domain, model)
    return await _row(request, models, find_model(models, domain, model), key or b"")


async def _row(request: AnyRequest, models: ModelServices, served: ServedModel, raw: bytes) -> Answer:
    key = read_key(raw, len(served.key))
    page = await _fresh_page(models, plan_row(served, key), request.headers, by_key=True)
    if not page.rows:
        absent = RowAbsent(f"{served.name} has no row {shown(','.join(key))} at {page.position or 'the beginning'}")
        absent.headers = _headers(page)
        raise absent
    return Answer(page.rows[0].encode(), media_type=JSON, headers=_headers(page))


def find_model(models: ModelServices, domain: str, name: str) -> ServedModel:
    """The read model of a path. Raises DomainUnknown or ModelUnknown."""
    found = models.models.get((domain, name))
    if found is None:
        known = sorted(model for of, model in models.models if of == domain)
        if not known:
            raise DomainUnknown(f"no domain {shown(domain)}; there are: {', '.join(models.domains.names)}")
        raise ModelUnknown(f"no read model {shown(name)} in {domain}; there are: {', '.join(known)}")
    return found


async def _fresh_page(
    models: ModelServices, plan: QueryPlan, headers: Mapping[str, str], *, by_key: bool = False
) -> Page:
    """The page, once it reflects `Refold-Min-Position`. Raises PositionNotReached rather than answer with older rows."""
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
        if remaining <= 0 or page.detached not in (None, *APART):
            stands = f"detached ({page.detached})" if page.detached else "behind"
            place = page.position or "the beginning"
            error = PositionNotReached(f"{plan.model.name} is {stands}: it stands at {place}, not at {token(left)}")
            error.headers = _headers(page)
            raise error
        await models.reads.moved(left, remaining)


def _wanted(models: ModelServices, model: ServedModel, text: str | None) -> dict[TopicPart, int]:
    """The positions of a token that concern this model: other categories' events never reach it."""
    if text is None:
        return {}
    asked = read_token(text, (f"{name}.events" for name in models.domains.categories))
    ours = {f"{name}.events" for name in model.categories}
    return {place: offset for place, offset in asked.items() if place[0] in ours}


async def _page(models: ModelServices, plan: QueryPlan, *, by_key: bool) -> Page:
    model, categories = plan.model, list(plan.model.categories)
    topics = [f"{models.topic_prefix}{name}.events" for name in categories]
    named = [model.domain, list(model.reads) if model.reads else model.name]
    values = [*plan.values, *named, topics, *named, topics, categories]
    async with faults_said(models.reads, model), values_judged(models.reads, plan):
        if by_key:
            found = await models.reads.look_up(_by_key(models.reads.by_key, plan), values)
        else:
            found = await models.reads.fetch(_statement(plan), values)
    ((rows, positions, behind, parked, detached, *ends),) = found
    stands = {(topic.removeprefix(models.topic_prefix), part): at for topic, part, at in msgspec.json.decode(positions)}
    page = Page(rows or [], stands, behind, parked, detached)
    if not ends:
        return page
    last, hashes, count, marked = ends
    if rows is None and count and not plan.cut:
        return await _page(models, replace(plan, cut=True), by_key=False)
    if plan.cursor is not None and plan.cursor.rows and not marked:
        raise _expired(page)
    return replace(page, ends=(last, hashes)) if count > len(page.rows) else page


def _expired(page: Page) -> CursorExpired:
    error = CursorExpired("the rows that the cursor went on from have all changed since the page was read")
    error.headers = _headers(page)
    return error


@asynccontextmanager
async def values_judged(reads: ModelReads, plan: QueryPlan) -> AsyncIterator[None]:
    """Wraps a statement. If Postgres refuses it because of a client's value, raises FilterInvalid or CursorInvalid."""
    try:
        yield
    except psycopg.Error as problem:
        for given in plan.given:
            try:
                await reads.fetch(sql.SQL("SELECT {} IS NULL").format(bound(given.column)), [given.value])
            except psycopg.Error:
                raise (not_ours() if given.in_cursor else not_of(given.column, given.value or "")) from problem
        raise


def _statement(plan: QueryPlan, *, ends: bool = True) -> sql.Composed:
    more = sql.SQL(", {}").format(plan.ends()) if ends else sql.SQL("")
    parts = {"tables": plan.tables(), "rows": plan.rows(), "ends": more}
    return _PAGE.format(**parts, **(_OF_VIEW if plan.model.reads else _OF_TABLE))


def _by_key(statements: dict[tuple[str, str], bytes], plan: QueryPlan) -> bytes:
    """The statement that finds one row: the same for all rows of a model."""
    name = plan.model.domain, plan.model.name
    if name not in statements:
        statements[name] = _statement(plan, ends=False).as_bytes()
    return statements[name]


def _headers(page: Page) -> dict[str, str]:
    headers = {"Refold-Position": page.position, "Refold-Lag": str(page.behind)}
    if page.parked:
        headers["Refold-Parked"] = str(page.parked)
    if page.detached:
        headers["Refold-Detached"] = page.detached
    return headers


def _range(seen: int, rows: int) -> str:
    """`Content-Range`: which of the query's rows these are, counted from 0. How many there are in all is not counted."""
    return f"{seen}-{seen + rows - 1}/*" if rows else "*/*"


def _next_path(request: AnyRequest, cursor: str) -> str:
    kept = [
        part for part in request.scope["query_string"].decode().split("&") if part and not part.startswith("cursor=")
    ]
    return f"{request.scope['path']}?{'&'.join([*kept, f'cursor={cursor}'])}"


ROUTES = Router("/", route_handlers=[read_rows, read_row])
