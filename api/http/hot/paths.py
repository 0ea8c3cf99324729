"""Which requests are hot: a plain request for a hot path is answered here, every other request by the framework.

The framework's routing, dependencies and wrappers take a third of the time of a command or a read. Invariant: the same request is answered
alike by both, byte for byte, counted and logged alike. So a request whose answer the framework shapes itself (a path that it would
tidy up, a bad `Host`, a parameter where a route has none) is never taken.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from refold.api.http.commands.routes import command_answer
from refold.api.http.commands.services import CommandServices
from refold.api.http.describe.metrics import counting
from refold.api.http.hot.kept import KeptAnswers, is_plain_host
from refold.api.http.hot.remembering import BASIS, remembered
from refold.api.http.reads.routes import read_row, read_rows
from refold.api.http.reads.services import ModelServices
from refold.api.http.wire.answer import Answer
from refold.api.http.wire.content_coding import encoded
from refold.api.http.wire.limited import Room
from refold.api.http.wire.problems import answered

Answering = Callable[[Scope, Receive], Awaitable[Answer]]
_COMMAND = re.compile(r"/v1/commands/(?P<domain>[A-Za-z0-9_-]+)/(?P<category>[A-Za-z0-9_-]+)/(?P<name>[A-Za-z0-9_-]+)")
_ROWS = re.compile(
    r"/v1/(?!(?:commands|events|streams|explain|trace)/)(?P<domain>[A-Za-z0-9_]+)/(?P<model>[A-Za-z0-9_]+)"
    r"(?P<key>/(?!changes$)[A-Za-z0-9_:~,-][A-Za-z0-9_.:~,-]*)?"
)
"""Rows and one row. A key of other characters may be spelled in several ways; the framework's route reads it."""
_SEND, _READ, _FIND = "/v1/commands/{domain}/{category}/{name}", "/v1/{domain}/{model}", "/v1/{domain}/{model}/{key}"
"""What the framework calls the routes, in metrics and log lines."""


def hot_paths(
    room: Room, commands: CommandServices, models: ModelServices, kept: KeptAnswers
) -> Callable[[Scope], ASGIApp | None]:
    """What answers a request of a hot path; `room` is the one in which the framework's requests are counted too.

    `kept`: keeps answers to reads.
    """

    async def sent(scope: Scope, receive: Receive) -> Answer:
        return await command_answer(scope, receive, commands, **scope["path_params"])

    async def rows(scope: Scope, receive: Receive) -> Answer:
        request: Request[Any, Any, Any] = Request(scope, receive)
        return await read_rows.fn(request=request, models=models, **scope["path_params"])  # type: ignore[no-any-return]  # the framework has no type for `fn`

    async def row(scope: Scope, receive: Receive) -> Answer:
        request: Request[Any, Any, Any] = Request(scope, receive)
        return await read_row.fn(request=request, models=models, why=models.why, **scope["path_params"])  # type: ignore[no-any-return]  # the framework has no type for `fn`

    def whole(answering: Answering, status: int) -> ASGIApp:
        return room.limited(_whole(answering, status))

    send = counting(answered(whole(sent, 201)))
    read, find = (counting(remembered(answered(encoded(whole(one, 200))), kept)) for one in (rows, row))

    def found(scope: Scope) -> ASGIApp | None:
        if scope["type"] != ScopeType.HTTP or not _is_plain(scope):
            return None
        if scope["method"] == "POST" and not scope["query_string"]:
            named = _COMMAND.fullmatch(scope["path"])
            return None if named is None else _routed(scope, named.groupdict(), _SEND, send)
        if scope["method"] == "GET" and scope["raw_path"].partition(b"?")[0] == scope["path"].encode():
            named = _ROWS.fullmatch(scope["path"])
            if named is not None:
                params = named.groupdict()
                return (
                    _routed(scope, params, _READ, read)
                    if params.pop("key") is None
                    else _routed(scope, params, _FIND, find)
                )
        return None

    return found


def _routed(scope: Scope, params: dict[str, str], template: str, app: ASGIApp) -> ASGIApp:
    scope["path_params"], scope["path_template"] = params, template
    return app


def _is_plain(scope: Scope) -> bool:
    if scope.get("root_path"):
        return False
    return is_plain_host(next((value for name, value in scope["headers"] if name == b"host"), b""))


def _whole(answering: Answering, status: int) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        answer = await answering(scope, receive)
        scope[BASIS] = answer.basis  # type: ignore[literal-required]  # ours
        await answer.to_asgi_response(status_code=status)(scope, receive, send)

    return app
