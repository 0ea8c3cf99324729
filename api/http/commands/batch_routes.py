"""`POST /v1/commands`: a body of NDJSON lines, an answer of NDJSON lines, both streamed at once."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
from litestar import Request, Router, post
from litestar.types import ASGIApp, Receive, Scope, Send

from refold.api.errors import BodyTimeout, MediaTypeUnsupported, TooManyWaiting
from refold.api.http.commands.batch import LineAnswer, LineBatch
from refold.api.http.commands.request import read_wait
from refold.api.http.commands.routes import Services
from refold.api.http.commands.services import CommandServices
from refold.api.http.wire.bodies import HungUp, pieces
from refold.api.http.wire.problems import problem_body

NDJSON = "application/x-ndjson"
_SAME = ("application/jsonl", "application/ndjson")
"""Other names for it."""
SEND_S = 60.0
"""Seconds after which a client that reads none of its answers counts as gone."""
_ENCODER = msgspec.json.Encoder()


@post("/v1/commands", status_code=200, answers=(NDJSON, *_SAME))
async def send_batch(request: Request[Any, Any, Any], commands: Services) -> ASGIApp:
    """Append the command of each line and answer each in order, with the status that a POST of its own would have."""
    _check_media_type(request)
    batch = LineBatch(commands, read_wait(request.headers, commands.default_wait))
    return answered_in_order(commands, lambda receive: batch.answers(pieces(receive)))


def answered_in_order(
    commands: CommandServices, answers_of: Callable[[Receive], AsyncGenerator[list[LineAnswer], None]]
) -> ASGIApp:
    """The answers to a batch, sent as they come; `answers_of` reads the body."""

    async def respond(_: Scope, receive: Receive, send: Send) -> None:
        if commands.batches.locked():
            raise TooManyWaiting("this process already has its largest number of batches")
        async with commands.batches:
            # Litestar's own streams listen for a hang-up and so would eat the body.
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", NDJSON.encode())]})
            try:
                async with aclosing(answers_of(receive)) as answers:
                    async for some in answers:
                        async with asyncio.timeout(SEND_S):
                            await send(_body(_ENCODER.encode_lines(some), more=True))
            except HungUp:
                return
            except BodyTimeout as slow:  # the status is sent already, so a last line carries this problem
                await send(_body(_ENCODER.encode_lines([problem_body(slow)]), more=True))
            await send(_body(b"", more=False))

    return respond


def _body(content: bytes, *, more: bool) -> Any:
    return {"type": "http.response.body", "body": content, "more_body": more}


def _check_media_type(request: Request[Any, Any, Any]) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {NDJSON, *_SAME}:
        remedy = f"Send `Content-Type: {NDJSON}`, or each command to its own path under /v1/commands/."
        raise MediaTypeUnsupported(f"a batch is `{NDJSON}`, one command a line", remedy=remedy)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise MediaTypeUnsupported("a batch is sent without Content-Encoding")


ROUTES = Router("/", route_handlers=[send_batch])
