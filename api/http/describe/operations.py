"""For operators: probes, metrics, and the lists of what this API serves."""

import asyncio
from typing import Any

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation
from litestar.response import Redirect

from refold.api.errors import DomainUnknown
from refold.api.http.describe.asyncapi import document as log_document
from refold.api.http.describe.docs_page import docs_page
from refold.api.http.describe.metrics import CONTENT_TYPE
from refold.api.http.describe.openapi import command_schemas, document, model_schema
from refold.api.http.describe.services import OperationServices
from refold.api.http.reads.model_faults import domain_faults
from refold.api.http.reads.services import ModelServices
from refold.api.http.wire.answer import JSON
from refold.api.http.wire.parameters import shown

Operations = NamedDependency[SkipValidation[OperationServices]]
Models = NamedDependency[SkipValidation[ModelServices]]


@get("/livez")
async def livez() -> Response[bytes]:
    """Whether the process answers; asks no server."""
    return _json({"ok": True})


@get("/readyz")
async def readyz(operations: Operations) -> Response[bytes]:
    """Whether Kafka, Postgres, the platform's own topics and tables are available, and no worker stands still; lag is no reason to be unready."""
    checks = await operations.ready()
    ok = all(check.ok for check in checks)
    return _json({"ok": ok, "checks": checks}, status=200 if ok else 503)


@get("/metrics")
async def metrics(operations: Operations) -> Response[bytes]:
    """The metrics in Prometheus' text format."""
    return Response(await asyncio.to_thread(operations.metrics), headers={"Content-Type": CONTENT_TYPE})


@get("/v1")
async def read_domains(models: Models) -> Response[bytes]:
    """The domains that run here."""
    return _json({"domains": [{"name": name, "path": f"/v1/{name}"} for name in _domains(models)]})


@get("/v1/{domain:str}")
async def read_domain(models: Models, domain: FromPath[str]) -> Response[bytes]:
    """Read models and commands of a domain, with their fields."""
    if domain not in _domains(models):
        raise DomainUnknown(f"no domain {shown(domain)}; there are: {', '.join(_domains(models))}")
    served = [model for (of, _), model in sorted(models.models.items()) if of == domain]
    categories = [category for category in models.domains.categories.values() if category.domain == domain]
    faults = await domain_faults(models.reads, domain)
    return _json(
        {
            "domain": domain,
            "read_models": [
                {
                    "name": m.name,
                    "path": f"/v1/{domain}/{m.name}",
                    "description": m.doc,
                    "key": m.key,
                    "columns": _columns(m),
                    "fault": faults.get((m.name, m.fingerprint)),
                }
                for m in served
            ],
            "categories": [
                {
                    "name": category.short,
                    "streams": f"/v1/streams/{domain}/{category.short}/{{stream}}",
                    "commands": [
                        {"name": name, "path": f"/v1/commands/{domain}/{category.short}/{name}", "schema": schema}
                        for name, schema in command_schemas(category).items()
                    ],
                }
                for category in categories
            ],
        }
    )


@get("/openapi.json")
async def openapi(models: Models) -> Response[bytes]:
    """This API as OpenAPI 3.1: each command and each read model a path of its own."""
    return _json(document(models.domains, list(models.models.values())))


@get("/asyncapi.json")
async def asyncapi(models: Models) -> Response[bytes]:
    """The log as AsyncAPI 3.1: topics, messages, and their Avro schemas."""
    return _json(log_document(models.domains, models.topic_prefix))


@get("/docs")
async def docs(models: Models) -> Response[str]:
    """The same as a page; needs no network."""
    page = docs_page(document(models.domains, list(models.models.values())))
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return Response(page, media_type="text/html", headers=headers)


@get("/", status_code=307)
async def root() -> Redirect:
    """Redirects to the docs."""
    return Redirect("/docs")


def _domains(models: ModelServices) -> list[str]:
    return sorted({category.domain for category in models.domains.categories.values()})


def _columns(model: Any) -> list[dict[str, Any]]:
    shapes = model_schema(model)["properties"]
    return [
        {
            "name": c.name,
            "type": c.sql_type,
            "nullable": c.nullable,
            "description": c.doc,
            "json": shapes[c.name].get("type", "any"),
        }
        for c in model.columns
    ]


def _json(body: object, status: int = 200) -> Response[bytes]:
    return Response(msgspec.json.encode(body), status_code=status, media_type=JSON)


ROUTES = Router("/", route_handlers=[livez, readyz, metrics, read_domains, read_domain, openapi, asyncapi, docs, root])
