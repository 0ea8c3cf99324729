"""A read model over HTTP: parse (`asking`), plan (`planning`), query (`pages`), answer (`answering`)."""

import json
from typing import Any

from litestar import HttpMethod, Request, Router, route
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation

from refold.api.errors import DomainUnknown, FilterInvalid, ModelUnknown, RowAbsent, RowKeyInvalid
from refold.api.http.doors.principal import is_hidden, shown_domains
from refold.api.http.reads.answering import answer
from refold.api.http.reads.asking import ROW_MEDIA_TYPES, VARY, Asked, asked_again, said
from refold.api.http.reads.conditional import not_modified, validated
from refold.api.http.reads.explain import Services as Why
from refold.api.http.reads.explain import explain_row
from refold.api.http.reads.files import format_asked, read_file
from refold.api.http.reads.language.preferences import read_preferences
from refold.api.http.reads.pages import Page, fresh_page, values_judged
from refold.api.http.reads.planning.plan import plan_row
from refold.api.http.reads.planning.shape import TOTAL_BOUND
from refold.api.http.reads.request import read_key
from refold.api.http.reads.row_keys import explained_key
from refold.api.http.reads.served_now import as_served, of_other_code
from refold.api.http.reads.services import ModelServices
from refold.api.http.reads.snapshot import PARAMETER as SNAPSHOT
from refold.api.http.reads.snapshot import as_of
from refold.api.http.wire.accepting import JSON, accepted
from refold.api.http.wire.answer import Answer
from refold.api.http.wire.parameters import refuse_unknown, shown
from refold.api.http.wire.paths import ANY, raw_behind
from refold.projections.tables.serving import ServedModel

METHODS = [HttpMethod.GET, HttpMethod.HEAD, HttpMethod.OPTIONS]
ALLOW = {"Allow": "OPTIONS,GET,HEAD"}
Services = NamedDependency[SkipValidation[ModelServices]]
AnyRequest = Request[Any, Any, Any]


@route("/v1/{domain:str}/{model:str}", http_method=METHODS, parameters=ANY, answers=ANY)
@as_served
async def read_rows(request: AnyRequest, models: Services, domain: FromPath[str], model: FromPath[str]) -> Answer:
    """A page of rows, or all of them as a file. A path that ends with a slash is one of a row, whose key is empty or begins with a slash."""
    if request.method == HttpMethod.OPTIONS:
        return _methods(find_model(models, domain, model))
    key = raw_behind(request, "v1", domain, model)
    served, raw = await as_of(models, find_model(models, domain, model), request.scope["query_string"])
    if key is not None:
        _no_parameters(served, raw)
        return await _row(request, models, served, key)
    headers = said(request.scope["headers"])
    format_ = format_asked(request.method, raw, headers)
    if format_ is not None:
        return await read_file(request, models, served, format_, headers, raw)
    asked = asked_again(models.reads.asked, served, models.models, request.method, raw, headers)
    media, moving = asked.media.content_type, asked.plan.moving
    if not moving and (known := await not_modified(models, asked.plan, request.scope, headers, media)) is not None:
        return known
    page = await fresh_page(models, asked.plan, headers, zone=asked.preferences.timezone)
    found = answer(request, asked, page, await _total(models, asked, page))
    found.headers.update(of_other_code(models, asked.plan.models))
    if moving:
        return found
    found = validated(models, asked.plan, request.scope, headers, page.standing, found)
    if asked.preferences.count not in {None, "exact"}:
        found.basis = None  # Postgres's guess may change while the rows stand still
    return found


@route("/v1/{domain:str}/{model:str}/{key:path}", http_method=METHODS, parameters=ANY, answers=ANY)
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
    if request.method == HttpMethod.OPTIONS:
        return _methods(find_model(models, domain, model))
    served, raw = await as_of(models, find_model(models, domain, model), request.scope["query_string"])
    _no_parameters(served, raw)
    key = raw_behind(request, "v1", domain, model)
    return await _row(request, models, served, key or b"")


def _methods(_: ServedModel) -> Answer:
    """The methods of a read model that there is."""
    return Answer(b"", media_type=JSON, headers=ALLOW)


def _no_parameters(served: ServedModel, raw: bytes) -> None:
    """A row by its key is shown whole: whoever wants less of it, or more, asks the list. Raises UnknownParameter."""
    if raw:
        asked = "&".join(f"{name}=eq.VALUE" for name in served.key)
        hint = f"; a row by its key is shown whole: to choose of it, ask the list: {served.name}?{asked}&select=…"
        refuse_unknown(raw, (SNAPSHOT,), hint=hint)


async def _row(request: AnyRequest, models: ModelServices, served: ServedModel, raw: bytes) -> Answer:
    headers = said(request.scope["headers"])
    media = accepted(headers.get("accept"), ROW_MEDIA_TYPES).content_type
    zone = read_preferences(headers.get("prefer")).timezone
    key = read_key(raw, len(served.key))
    plan = plan_row(served, key)
    if not plan.moving and (known := await not_modified(models, plan, request.scope, headers, media)) is not None:
        return known
    try:
        page = await fresh_page(models, plan, headers, by_key=zone is None, zone=zone)
    except FilterInvalid as problem:  # a value that Postgres refuses, as one that we refuse
        raise RowKeyInvalid(problem.message, *problem.faults) from problem
    if not page.rows:
        absent = RowAbsent(f"{served.name} has no row {shown(','.join(key))} at {page.position or 'the beginning'}")
        absent.headers = page.headers()
        raise absent
    head = request.method == "HEAD"
    body = b"" if head else page.text.encode()
    found = Answer(body, media_type=media, headers=page.headers() | {"Vary": VARY}, head=head)
    return found if plan.moving else validated(models, plan, request.scope, headers, page.standing, found)


def find_model(models: ModelServices, domain: str, name: str) -> ServedModel:
    """The read model of a path. Raises DomainUnknown or ModelUnknown."""
    found = models.models.get((domain, name))
    if found is None or is_hidden(domain):
        known = sorted(model for of, model in models.models if of == domain)
        if not known or is_hidden(domain):
            there = ", ".join(shown_domains(models.domains.names))
            raise DomainUnknown(f"no domain {shown(domain)}; there are: {there}")
        raise ModelUnknown(f"no read model {shown(name)} in {domain}; there are: {', '.join(known)}")
    return found


async def _total(models: ModelServices, asked: Asked, page: Page) -> int | None:
    """How many rows the query has on all pages: counted in the page's own statement, or guessed by Postgres's planner."""
    count = asked.preferences.count
    if count == "exact" or (count == "estimated" and page.total is not None and page.total < TOTAL_BOUND):
        return page.total
    if count is None:
        return None
    statement = asked.plan.shape.counted()
    values = [asked.plan.values[slot] for slot in statement.slots]
    async with values_judged(models.reads, asked.plan):
        ((found,),) = await models.reads.fetch(f"EXPLAIN (FORMAT JSON) {statement.text}".encode(), values)
    plans = json.loads(found) if isinstance(found, str) else found
    return max(int(plans[0]["Plan"]["Plan Rows"]), page.rows, page.total or 0)


ROUTES = Router("/", route_handlers=[read_rows, read_row])
