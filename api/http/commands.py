"""A command over HTTP: parse (command_request), look up or append and wait (here), answer (command_answer)."""

import asyncio
import contextlib
from typing import Any

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation

from refold.api.errors import AppendUnknown
from refold.api.http import command_answer
from refold.api.http.bodies import whole_body
from refold.api.http.command_request import (
    Intent,
    checked_stream,
    command_uuid_of,
    find_category,
    find_command,
    read_intent,
    read_wait,
)
from refold.api.http.outcomes import Outcome
from refold.api.http.services import CommandServices
from refold.schemas.identity import outcome_key

ACK_S = 5.0
"""Kafka's acknowledgement is waited for at least this long, whatever the client prefers."""
Services = NamedDependency[SkipValidation[CommandServices]]
AnyRequest = Request[Any, Any, Any]


@post("/v1/commands/{domain:str}/{category:str}/{name:str}", status_code=201)
async def send_command(
    request: AnyRequest, commands: Services, domain: FromPath[str], category: FromPath[str], name: FromPath[str]
) -> Response[bytes]:
    """Append the command and answer with its outcome."""
    found = find_category(commands.domains, domain, category)
    kind = find_command(found, name)
    wait = read_wait(request.headers, commands.default_wait)
    intent = read_intent(found, kind, request.headers, await whole_body(request))
    outcome = await _settle(commands, intent, wait)
    return command_answer.pending(intent) if outcome is None else command_answer.decided(outcome)


@get("/v1/streams/{domain:str}/{category:str}/{stream:str}/commands/{key:str}")
async def read_outcome(
    commands: Services, domain: FromPath[str], category: FromPath[str], stream: FromPath[str], key: FromPath[str]
) -> Response[bytes]:
    """What became of a command."""
    found = find_category(commands.domains, domain, category)
    command_id = command_uuid_of(key)
    where = outcome_key(found.name, checked_stream(stream), command_id.bytes)
    return command_answer.outcome(command_id, stream, await commands.outcomes.find(where))


async def _settle(commands: CommandServices, intent: Intent, wait: float) -> Outcome | None:
    """The outcome, or None while it is pending. A command decided before is not appended again."""
    known = await commands.outcomes.find(intent.outcome_key)
    if known is not None:
        return known.checked(intent.body_hash)
    if wait == 0:
        await _acknowledged(asyncio.create_task(commands.append(intent)), ACK_S)
        return None
    with commands.outcomes.expected(intent.outcome_key) as expected:
        appended = asyncio.create_task(commands.append(intent))
        until = asyncio.get_running_loop().time() + wait
        either: set[asyncio.Future[Any]] = {expected, appended}
        await asyncio.wait(either, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        if not expected.done():
            await _acknowledged(appended, max(ACK_S - wait, 0.01))
            await asyncio.wait({expected}, timeout=max(until - asyncio.get_running_loop().time(), 0))
        appended.add_done_callback(_retrieved)
        return expected.result().checked(intent.body_hash) if expected.done() else None


async def _acknowledged(appended: asyncio.Task[None], seconds: float) -> None:
    """Without an acknowledgement nobody knows whether the command is in the log: say just that."""
    await asyncio.wait({appended}, timeout=seconds)
    if not appended.done():
        appended.add_done_callback(_retrieved)
        raise AppendUnknown("Kafka has not acknowledged the command yet")
    await appended


def _retrieved(task: asyncio.Task[None]) -> None:
    """The outcome came first, or the client was told already: a late failure is nobody's news."""
    with contextlib.suppress(Exception, asyncio.CancelledError):
        task.result()


ROUTES = Router("/", route_handlers=[send_command, read_outcome])
