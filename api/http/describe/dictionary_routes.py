"""`/v1` and `/v1/{domain}`: the data dictionary, as JSON, and as a page where a browser asks."""

from typing import Any

import msgspec
from litestar import Request, Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation
from psycopg import sql

from refold.api.errors import DomainUnknown
from refold.api.http.describe.dictionary import NOW, Freshness, category_entry, model_entry
from refold.api.http.describe.dictionary_page import dictionary_page, domains_page
from refold.api.http.doors.principal import shown_domains
from refold.api.http.reads.model_faults import domain_faults
from refold.api.http.reads.services import ModelReads, ModelServices
from refold.api.http.reads.snapshot import OF_DOMAIN
from refold.api.http.wire.accepting import JSON, accepted
from refold.api.http.wire.parameters import shown
from refold.api.http.wire.paths import accept_of
from refold.api.unavailable import NotPrepared
from refold.projections.tables.lineage import Lineage, lineages
from refold.projections.tables.snapshots import Snapshot, of_comment
from refold.streams.errors import DatabaseUnavailable

Models = NamedDependency[SkipValidation[ModelServices]]
HTML = "text/html"
_MEDIA_TYPES = (JSON, HTML)
AnyRequest = Request[Any, Any, Any]
_PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Vary": "Accept"}


@get("/v1", answers=_MEDIA_TYPES)
async def read_domains(request: AnyRequest, models: Models) -> Response[str] | Response[bytes]:
    """The domains that run here."""
    found = [{"name": name, "path": f"/v1/{name}"} for name in domains_of(models)]
    return _page(domains_page(found)) if _is_browser(request) else _json({"domains": found})


@get("/v1/{domain:str}", answers=_MEDIA_TYPES)
async def read_domain(request: AnyRequest, models: Models, domain: FromPath[str]) -> Response[str] | Response[bytes]:
    """The data dictionary of a domain: read models with columns, units, origins and freshness; commands with their fields."""
    found = await dictionary_of(models, domain)
    return _page(dictionary_page(found)) if _is_browser(request) else _json(found)


async def dictionary_of(models: ModelServices, domain: str) -> dict[str, Any]:
    """The data dictionary as JSON. Raises DomainUnknown."""
    if domain not in domains_of(models):
        raise DomainUnknown(f"no domain {shown(domain)}; there are: {', '.join(domains_of(models))}")
    served = [model for (of, _), model in sorted(models.models.items()) if of == domain]
    categories = [category for category in models.domains.categories.values() if category.domain == domain]
    faults, kept = await domain_faults(models.reads, domain), await _snapshots(models.reads, domain)
    now = await _now(models.reads, domain)
    origins = lineages(models.domains.names)
    entries = [
        model_entry(m, origins.get((domain, m.name), Lineage({})), now, faults.get((m.name, m.fingerprint)), kept)
        for m in served
    ]
    return {"domain": domain, "read_models": entries, "categories": [category_entry(one) for one in categories]}


async def _now(reads: ModelReads, domain: str) -> dict[str, Freshness]:
    """The freshness of each read model by name; empty while Postgres cannot tell."""
    try:
        rows = await reads.fetch(sql.SQL(NOW), (domain,))
    except (NotPrepared, DatabaseUnavailable):
        return {}
    return {name: Freshness(position, lag, as_of, code, count) for name, position, lag, as_of, code, count in rows}


async def _snapshots(reads: ModelReads, domain: str) -> list[Snapshot]:
    """The snapshots of the domain's read models; none while Postgres cannot tell."""
    try:
        return [of_comment(*row) for row in await reads.fetch(OF_DOMAIN.encode(), (domain,))]
    except (NotPrepared, DatabaseUnavailable):
        return []


def domains_of(models: ModelServices) -> list[str]:
    """The domains that are there for who asks."""
    return shown_domains(sorted({category.domain for category in models.domains.categories.values()}))


def _is_browser(request: AnyRequest) -> bool:
    """Whether a page is wanted more than JSON; a client that takes anything gets JSON."""
    return accepted(accept_of(request.scope), _MEDIA_TYPES).type == HTML


def _page(text: str) -> Response[str]:
    return Response(text, media_type=HTML, headers=_PAGE_HEADERS)


def _json(body: object) -> Response[bytes]:
    return Response(msgspec.json.encode(body), media_type=JSON, headers={"Vary": "Accept"})


ROUTES = Router("/", route_handlers=[read_domains, read_domain])
