"""`GET /v1/{domain}/{model}/changes`: parse, subscribe, and pass on what comes until one side ends it.

A fault that is found later is told in the stream, never by a status: EventSource gives up permanently on any status but 200.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import psycopg
from litestar import Request, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, SkipValidation
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from refold.api.errors import TokenMalformed
from refold.api.http.changes.cohorts import Start
from refold.api.http.changes.hub import Changes
from refold.api.http.changes.ids import Since, read_since
from refold.api.http.changes.selection import Selection, select
from refold.api.http.changes.subscriber import Subscriber
from refold.api.http.reads.language.query_string import ASKED, GROUPS, Check, pairs, read_query
from refold.api.http.reads.language.tree import Item, Path
from refold.api.http.reads.planning.names import not_of_changes
from refold.api.http.reads.planning.resources import check_name
from refold.api.http.reads.request import read_texts
from refold.api.http.reads.routes import Services, find_model
from refold.api.http.reads.services import ModelReads
from refold.api.http.wire.parameters import unknown_parameter
from refold.api.http.wire.paths import ANY
from refold.projections.tables.serving import ServedModel
from refold.schemas.errors import RefoldError

SINCE = "since"
NOW, BEGINNING = "now", "beginning"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would keep events until its buffer is full
]
Streams = NamedDependency[SkipValidation[Changes]]


@get("/v1/{domain:str}/{model:str}/changes", parameters=ANY, answers=("text/event-stream",))
async def read_changes(
    request: Request[Any, Any, Any], models: Services, changes: Streams, domain: FromPath[str], model: FromPath[str]
) -> "EventStream":
    """The changes of a model's rows under filters, from now, from the beginning, or from a place on."""
    served = find_model(models, domain, model)
    raw: bytes = request.scope["query_string"]
    filters = b"&".join(part for part in raw.split(b"&") if not part.startswith(SINCE.encode() + b"="))
    for name, _ in pairs(filters):
        if name in ASKED and name not in GROUPS:
            raise unknown_parameter(name, ("the columns", *GROUPS, SINCE))
    query = read_query(filters, check=_of_model(served))
    start = _start(served, read_texts(raw, SINCE).get(SINCE, NOW), request.headers.get("last-event-id"))
    selection = select(served, query)
    await _judge(models.reads, selection)
    return EventStream(changes.subscribe(selection, start))


def _of_model(served: ServedModel) -> Check:
    """Judges names of filters; a stream follows the rows of one model alone."""
    known = check_name(served, asked=(*GROUPS, SINCE))

    def check(select: Sequence[Item], path: Path, name: str) -> None:
        if path:
            raise not_of_changes(served, path)
        known(select, path, name)

    return check


async def _judge(reads: ModelReads, selection: Selection) -> None:
    """Raises FilterInvalid for a value that Postgres refuses. While Postgres is away, the stream begins nevertheless."""
    for given in selection.given:
        try:
            await reads.fetch(f"SELECT ({given.probe}) IS NULL".encode(), [given.value])
        except psycopg.Error as problem:
            raise given.refused() from problem
        except RefoldError:
            return


def _start(served: ServedModel, since: str, last_id: str | None) -> Start:
    """Where the stream begins: the id that the client had last goes before the address, which EventSource repeats."""
    topics = [f"{name}.events" for name in served.categories]
    rows = since == BEGINNING
    if last_id:
        try:
            return Start(read_since(last_id, topics), rows)
        except TokenMalformed:
            return Start(Since({}, "of another place"), rows)  # told as a reset: a status would end the client for good
    return Start(None if since in {NOW, BEGINNING} else read_since(since, topics), rows)


class EventStream(Response[bytes]):
    """The answer to a subscriber."""

    def __init__(self, subscriber: Subscriber) -> None:
        super().__init__(b"")
        self._subscriber = subscriber

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        return _Passing(self._subscriber)


class _Passing(ASGIResponse):
    """Sends each piece as it comes. It has this base class only because the framework requires it."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the framework names them
        await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        leaving = asyncio.ensure_future(self._leave(receive))
        try:
            async for piece in self._subscriber.pieces():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if not self._subscriber.has_left:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._subscriber.leave()
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving

    async def _leave(self, receive: Receive) -> None:
        """Until the client has gone."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._subscriber.leave()


def routes_of(changes: Changes) -> Router:
    """The route over these streams."""

    def provide() -> Changes:
        return changes

    return Router("/", route_handlers=[read_changes], dependencies={"changes": Provide(provide, sync_to_thread=False)})
