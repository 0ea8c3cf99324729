"""A command over HTTP: parse (`request`), look up or append and wait (here), answer (`answer`)."""

from typing import Any
from urllib.parse import unquote

from litestar import Request, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation
from litestar.types import Receive, Scope

from refold.api.errors import RouteUnknown
from refold.api.http.commands import answer
from refold.api.http.commands.outcomes import Outcome
from refold.api.http.commands.request import (
    Intent,
    checked_stream,
    command_uuid_of,
    find_category,
    find_command,
    headers_by_name,
    read_intent,
    read_wait,
)
from refold.api.http.commands.sending import Sending
from refold.api.http.commands.services import CommandServices
from refold.api.http.wire.accepting import JSON, accepted
from refold.api.http.wire.answer import Answer
from refold.api.http.wire.bodies import whole_body
from refold.api.http.wire.paths import ANY, accept_of, raw_behind
from refold.schemas.contracts import Category
from refold.schemas.identity import outcome_key

ACK_S = 5.0
"""Least seconds that we wait for Kafka's acknowledgement, even if the client prefers less."""
Services = NamedDependency[SkipValidation[CommandServices]]
AnyRequest = Request[Any, Any, Any]


@post("/v1/commands/{domain:str}/{category:str}/{name:str}", status_code=201, answers=ANY)
async def send_command(
    request: AnyRequest, commands: Services, domain: FromPath[str], category: FromPath[str], name: FromPath[str]
) -> Answer:
    """Append the command and answer with its outcome. A plain request comes to `command_answer` by `hot`, without the framework."""
    return await command_answer(request.scope, request.receive, commands, domain, category, name)


async def command_answer(
    scope: Scope, receive: Receive, commands: CommandServices, domain: str, category: str, name: str
) -> Answer:
    """Append the command and answer with its outcome. Raises the errors of the path, the headers and the body."""
    found = find_category(commands.domains, domain, category)
    kind = find_command(found, name)
    headers = headers_by_name(scope["headers"])
    if "accept" in headers:
        accepted(accept_of(scope), (JSON,))
    wait = read_wait(headers, commands.default_wait)
    intent = read_intent(found, kind, headers, await whole_body(receive, headers))
    scope["command_id"] = intent.command_id  # type: ignore[typeddict-unknown-key] # for the log's lines
    outcome = await settled(commands, intent, wait)
    return answer.pending(intent) if outcome is None else answer.decided(outcome)


@get(
    [  # a key of slashes alone is tidied away from the framework's path
        "/v1/streams/{domain:str}/{category:str}/{stream:str}/commands/{key:path}",
        "/v1/streams/{domain:str}/{category:str}/{stream:str}/commands",
    ]
)
async def read_outcome(
    request: AnyRequest, commands: Services, domain: FromPath[str], category: FromPath[str], stream: FromPath[str]
) -> Answer:
    """The outcome of a command. Its key is the rest of the path after `commands/`, slashes included."""
    found = find_category(commands.domains, domain, category)
    key = raw_behind(request, "v1", "streams", domain, category, stream, "commands")
    if key is None:
        raise RouteUnknown("there is nothing at this path")
    return await outcome_of(commands, found, checked_stream(stream), unquote(key, "latin-1"))


async def outcome_of(commands: CommandServices, category: Category, stream: str, key: str) -> Answer:
    """The outcome at this moment. Raises KeyInvalid."""
    command_id = command_uuid_of(key)
    where = outcome_key(category.name, stream, command_id.bytes)
    return answer.outcome(command_id, stream, await commands.outcomes.find(where))


async def settled(commands: CommandServices, intent: Intent, wait: float) -> Outcome | None:
    """The outcome, or None while it is pending. A command decided before is not appended again."""
    known = await commands.outcomes.find(intent.outcome_key)
    if known is not None:
        return known.checked(intent.body_hash)
    sending = Sending()
    if wait == 0:
        commands.send(intent, sending.delivered)
        await sending.acknowledged(ACK_S)
        return None
    with commands.outcomes.expected(intent.outcome_key) as expected:
        commands.send(intent, sending.delivered)
        await sending.decided(expected, wait)
        if not expected.done():
            await sending.acknowledged(max(ACK_S - wait, 0.01))
        return expected.result().checked(intent.body_hash) if expected.done() else None


ROUTES = Router("/", route_handlers=[send_command, read_outcome])
