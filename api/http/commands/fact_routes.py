"""`POST /v1/events/{domain}/{category}`: events that are published as they are, one at a time or many in a batch."""

from typing import Any

from litestar import Request, Router, post
from litestar.params import FromPath
from litestar.types import ASGIApp

from refold.api.errors import Fault, HeaderInvalid
from refold.api.http.commands import answer
from refold.api.http.commands.batch import LineBatch
from refold.api.http.commands.batch_routes import NDJSON, answered_in_order
from refold.api.http.commands.facts import (
    BATCH,
    MAX_BATCH_BYTES,
    STRUCTURED,
    FactReader,
    elements,
    find_facts,
    media_type,
    numbered,
)
from refold.api.http.commands.request import headers_by_name, read_wait
from refold.api.http.commands.routes import Services, settled
from refold.api.http.wire.accepting import JSON, accepted
from refold.api.http.wire.bodies import whole_body
from refold.api.http.wire.paths import ANY, accept_of

AnyRequest = Request[Any, Any, Any]


@post("/v1/events/{domain:str}/{category:str}", status_code=201, answers=ANY)
async def publish(request: AnyRequest, commands: Services, domain: FromPath[str], category: FromPath[str]) -> ASGIApp:
    """Publish an event and answer with its outcome, or the events of a batch, each with an answer of its own."""
    found = find_facts(commands.domains, domain, category)
    reader = FactReader(commands.domains, found)
    headers = headers_by_name(request.scope["headers"])
    sent_as = media_type(headers)
    if "accept" in headers:
        accepted(accept_of(request.scope), (NDJSON,) if sent_as == BATCH else (JSON,))
    wait = read_wait(headers, commands.default_wait)
    if sent_as == BATCH:
        _refuse_conditions(headers)
        events = elements(await whole_body(request.receive, headers, MAX_BATCH_BYTES))
        batch = LineBatch(commands, wait, reader.element)
        return answered_in_order(commands, lambda _: batch.answers_to(numbered(events)))
    body = await whole_body(request.receive, headers)
    intent = reader.structured(headers, body) if sent_as == STRUCTURED else reader.binary(headers, body)
    request.scope["command_id"] = intent.command_id  # type: ignore[typeddict-unknown-key] # for the log's lines
    outcome = await settled(commands, intent, wait)
    told = answer.pending(intent) if outcome is None else answer.decided(outcome)
    return told.to_asgi_response(status_code=201)


def _refuse_conditions(headers: dict[str, str]) -> None:
    for name in ("If-Match", "If-None-Match"):
        if name.lower() in headers:
            message = "each event of a batch says its own by its attribute `expectedversion`"
            raise HeaderInvalid(f"{name}: {message}", Fault(name, "header-invalid", message))


ROUTES = Router("/", route_handlers=[publish])
