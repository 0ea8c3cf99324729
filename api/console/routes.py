"""The pages by their paths. A page needs what the request needs that it shows: the door asks for the right to read."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from litestar import Request, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, SkipValidation
from msgspec import to_builtins

from refold.access.roles import Right
from refold.api.console.copies import copies
from refold.api.console.errors import ConsoleExtraMissing
from refold.api.console.flow import behind, boxes
from refold.api.console.pages import HEADERS, HTML, page, problem_page, style
from refold.api.console.queries import OPERATORS, Pairs, added, chips, from_the_first, of_all, ordered
from refold.api.console.rows import Rows, rows_of
from refold.api.console.services import ConsoleServices
from refold.api.http.describe.dictionary_routes import dictionary_of, domains_of
from refold.api.http.doors.principal import ASKS, is_without_login
from refold.api.http.reads.explain import explanation_of, find_explained
from refold.api.http.reads.explained import key_in_path
from refold.api.http.reads.language.query_string import pairs
from refold.api.http.reads.planning.plan import MAX_LIMIT
from refold.api.http.reads.routes import find_model
from refold.api.http.reads.row_keys import PARAMETERS, key_of_path
from refold.api.http.reads.served_now import as_served
from refold.api.http.reads.services import ModelServices
from refold.api.http.wire.paths import ANY, raw_behind
from refold.schemas.errors import RefoldError

Services = NamedDependency[SkipValidation[ConsoleServices]]
Page = Response[str]
AnyRequest = Request[Any, Any, Any]
_NUMERIC = ("numeric", "bigint", "integer", "smallint", "double", "real")


def routes_of(services: ConsoleServices) -> Router:
    """The routes over these services."""

    def provide() -> ConsoleServices:
        return services

    return Router(
        "/console",
        route_handlers=[overview, data, model, story, stylesheet],
        dependencies={"console": Provide(provide, sync_to_thread=False)},
    )


def as_page(route: Callable[..., Awaitable[Page]]) -> Callable[..., Awaitable[Page]]:
    """A route whose errors are pages, too."""

    @wraps(route)
    async def answered(**given: Any) -> Page:
        try:
            return await route(**given)
        except ConsoleExtraMissing:
            raise
        except RefoldError as error:
            request = given.get("request")
            return problem_page(error, _path(request) if request is not None and request.url.query else None)

    return answered


@get("/", answers=(HTML,))
@as_page
async def overview(console: Services) -> Page:
    """The flow of the data, what is behind, and what stands still. Only who may watch the processes sees these."""
    seen = console.seen() if ASKS.get().has(Right.WATCH) else None
    checks = await console.operations.ready()
    found = [await dictionary_of(console.models, domain) for domain in domains_of(console.models)]
    return page(
        "overview",
        place="overview",
        boxes=boxes(seen, checks, found),
        checks=checks,
        dictionaries=found,
        findings=None if seen is None else seen.findings,
        lags=None if seen is None else behind(seen.lags),
    )


@get("/data", answers=(HTML,))
@as_page
async def data(console: Services) -> Page:
    """The read models of each domain."""
    found = [await dictionary_of(console.models, domain) for domain in domains_of(console.models)]
    return page("data", place="data", dictionaries=found)


@get("/data/{domain:str}/{name:str}", parameters=ANY, answers=(HTML,))
@as_page
async def model(request: AnyRequest, console: Services, domain: FromPath[str], name: FromPath[str]) -> Page:
    """A read model: a page of rows under the API's own query string, what a row is, and where each column comes from."""
    raw: bytes = request.scope["query_string"]
    meant = added(raw)
    if meant is not None:
        return Response("", status_code=303, headers=HEADERS | {"Location": f"{_path(request)}?{meant}"})
    origin = f"{request.url.scheme}://{request.headers.get('host', '')}"
    return await _model(models=console.models, domain=domain, model=name, raw=raw, origin=origin)


@as_served
async def _model(models: ModelServices, domain: str, model: str, raw: bytes, origin: str) -> Page:
    served = find_model(models, domain, model)
    found = await dictionary_of(models, domain)
    (entry,) = [one for one in found["read_models"] if one["name"] == served.name]
    rows = await rows_of(models, domain, model, raw)
    given = list(pairs(raw))
    query = from_the_first(given)
    limit = rows.plan.shape.limit if any(name == "limit" for name, _ in given) else MAX_LIMIT
    return page(
        "model",
        place="data",
        domain=domain,
        model=entry,
        rows=rows,
        looks={one.name: _look(one.sql_type) for one in served.columns},
        orders={one.name: ordered(given, one.name) for one in served.columns},
        kept=[pair for pair in given if pair[0] not in {"cursor", "offset"}],
        chips=chips(given),
        stories=_stories(entry, rows, given),
        is_later=rows.plan.seen > 0,
        query=query,
        all_rows=of_all(given),
        operators=OPERATORS,
        copies=copies(
            f"{origin}{entry['path']}{'?' * bool(query)}{query}", rows.plan, limit, key=not is_without_login()
        ),
    )


def _stories(entry: dict[str, Any], rows: Rows, given: Pairs) -> list[str | None] | None:
    """The path of each row's story behind `/console/row/…`; None of a row that no path names. No list where rows have none."""
    if "explain" not in entry["links"] or any(name in {"select", "snapshot"} for name, _ in given):
        return None
    places = [rows.columns.index(name) for name in entry["key"]]
    keys = [[row[place] for place in places] for row in rows.cells]
    told = [[text for text in key if text not in {None, ".", ".."}] for key in keys]
    return [key_in_path(texts) if len(texts) == len(places) else None for texts in told]


def _path(request: AnyRequest) -> str:
    """The path as it was sent: the decoded one may hold the end of a line, which no header may."""
    raw: bytes = request.scope["raw_path"]
    return raw.partition(b"?")[0].decode("latin-1")


def _look(sql_type: str) -> str:
    """The class of a column's cells."""
    return "number" if sql_type.startswith(_NUMERIC) else "time" if sql_type.startswith(("date", "time")) else ""


@get("/row/{domain:str}/{name:str}/{key:path}", parameters=PARAMETERS, answers=(HTML,))
@as_page
async def story(request: AnyRequest, console: Services, domain: FromPath[str], name: FromPath[str]) -> Page:
    """Why a row is as it is: its events in order, and what each changed."""
    why = console.models.why
    found = find_explained(why, domain, name)
    key = key_of_path(found, raw_behind(request, "console", "row", domain, name) or b"")
    told, _ = await explanation_of(request, why, found, key)
    told = to_builtins(told)
    return page("story", place="data", domain=domain, model=name, told=told, start=_path(request))


@get("/console.css", answers=("text/css",))
async def stylesheet() -> Response[bytes]:
    """How all pages look."""
    return style()
