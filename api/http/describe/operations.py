"""Routes for operators: probes, metrics, and descriptions of this API. What watches a process is answered whatever it accepts."""

import asyncio

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from litestar.response import Redirect

from refold.api.http.describe.asyncapi import document as log_document
from refold.api.http.describe.docs_page import docs_page
from refold.api.http.describe.metrics import CONTENT_TYPE
from refold.api.http.describe.openapi import document
from refold.api.http.describe.openapi_access import guarded
from refold.api.http.describe.services import OperationServices
from refold.api.http.describe.sharing import shared
from refold.api.http.doors.principal import is_without_login
from refold.api.http.reads.services import ModelServices
from refold.api.http.wire.answer import JSON
from refold.api.http.wire.paths import ANY

Operations = NamedDependency[SkipValidation[OperationServices]]
Models = NamedDependency[SkipValidation[ModelServices]]


@get("/livez", answers=ANY)
async def livez() -> Response[bytes]:
    """Whether the process answers; asks no server."""
    return _json({"ok": True})


@get("/readyz", answers=ANY)
async def readyz(operations: Operations) -> Response[bytes]:
    """Whether Kafka, Postgres, the platform's own topics and tables are available, and no worker stands still; lag is no reason to be unready."""
    checks = await operations.ready()
    ok = all(check.ok for check in checks)
    return _json({"ok": ok, "checks": checks}, status=200 if ok else 503)


@get("/metrics", answers=ANY)
async def metrics(operations: Operations) -> Response[bytes]:
    """The metrics in Prometheus' text format."""
    return Response(await asyncio.to_thread(operations.metrics), headers={"Content-Type": CONTENT_TYPE})


@get("/openapi.json")
async def openapi(models: Models) -> Response[bytes]:
    """This API as OpenAPI 3.1: each command and each read model a path of its own."""
    found = document(models.domains, list(models.models.values()))
    return _json(shared(found if is_without_login() else guarded(found)))


@get("/asyncapi.json")
async def asyncapi(models: Models) -> Response[bytes]:
    """The log as AsyncAPI 3.1: topics, messages, and their Avro schemas."""
    return _json(log_document(models.domains, models.topic_prefix))


@get("/docs", answers=("text/html",))
async def docs(models: Models) -> Response[str]:
    """The same as a page; needs no network."""
    page = docs_page(document(models.domains, list(models.models.values())))
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return Response(page, media_type="text/html", headers=headers)


@get("/", status_code=307, answers=ANY)
async def root() -> Redirect:
    """Redirects to the docs."""
    return Redirect("/docs")


def _json(body: object, status: int = 200) -> Response[bytes]:
    return Response(msgspec.json.encode(body), status_code=status, media_type=JSON)


ROUTES = Router("/", route_handlers=[livez, readyz, metrics, openapi, asyncapi, docs, root])
