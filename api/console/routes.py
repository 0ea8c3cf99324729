"""The pages by their paths. A page needs what the request needs that it shows: the door asks for the right to read."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, SkipValidation

from refold.access.roles import Right
from refold.api.console.errors import ConsoleExtraMissing
from refold.api.console.flow import behind, boxes
from refold.api.console.pages import HTML, page, problem_page, style
from refold.api.console.services import ConsoleServices
from refold.api.http.describe.dictionary_routes import dictionary_of, domains_of
from refold.api.http.doors.principal import ASKS
from refold.api.http.reads.routes import find_model
from refold.schemas.errors import RefoldError

Services = NamedDependency[SkipValidation[ConsoleServices]]
Page = Response[str]


def routes_of(services: ConsoleServices) -> Router:
    """The routes over these services."""

    def provide() -> ConsoleServices:
        return services

    return Router(
        "/console",
        route_handlers=[overview, data, model, stylesheet],
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
            return problem_page(error)

    return answered


@get("/", answers=(HTML,))
@as_page
async def overview(console: Services) -> Page:
    """The flow of the data, what is behind, and what stands still. Only who may watch the processes sees these."""
    asks = ASKS.get()
    seen = console.seen() if asks is None or asks.has(Right.WATCH) else None
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


@get("/data/{domain:str}/{name:str}", answers=(HTML,))
@as_page
async def model(console: Services, domain: FromPath[str], name: FromPath[str]) -> Page:
    """A read model: what a row is, and where each column comes from."""
    served = find_model(console.models, domain, name)
    found = await dictionary_of(console.models, domain)
    (entry,) = [one for one in found["read_models"] if one["name"] == served.name]
    return page("model", place="data", domain=domain, model=entry)


@get("/console.css", answers=("text/css",))
async def stylesheet() -> Response[bytes]:
    """How all pages look."""
    return style()
