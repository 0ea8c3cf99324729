"""Which requests are hot: a plain request for a hot path is answered here, every other request by the framework.

The framework's routing, dependencies and wrappers take more time than a command does in all else. Invariant: the same request is answered
alike by both, byte for byte, counted and logged alike. So a request whose answer the framework shapes itself (a path that it would
tidy up, a parameter, a bad `Host`) is never taken.
"""

import re
from collections.abc import Callable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from refold.api.errors import TooManyWaiting
from refold.api.http.commands.routes import command_answer
from refold.api.http.commands.services import CommandServices
from refold.api.http.describe.metrics import counting
from refold.api.http.wire.limited import Room
from refold.api.http.wire.problems import answer_to

_COMMAND = re.compile(r"/v1/commands/(?P<domain>[A-Za-z0-9_-]+)/(?P<category>[A-Za-z0-9_-]+)/(?P<name>[A-Za-z0-9_-]+)")
_TEMPLATE = "/v1/commands/{domain}/{category}/{name}"
"""What the framework calls the route, in metrics and log lines."""
_HOST = re.compile(rb"[A-Za-z0-9.:\[\]-]*")


def hot_paths(room: Room, commands: CommandServices) -> Callable[[Scope], ASGIApp | None]:
    """What answers a request of a hot path; `room` is the one in which the framework's requests are counted too."""
    sent = counting(_answering_command(room, commands))

    def found(scope: Scope) -> ASGIApp | None:
        if scope["type"] == ScopeType.HTTP and scope["method"] == "POST" and _is_plain(scope):
            named = _COMMAND.fullmatch(scope["path"])
            if named is not None:
                scope["path_params"] = named.groupdict()
                scope["path_template"] = _TEMPLATE
                return sent
        return None

    return found


def _is_plain(scope: Scope) -> bool:
    if scope["query_string"] or scope.get("root_path"):
        return False
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return _HOST.fullmatch(host) is not None


def _answering_command(room: Room, commands: CommandServices) -> ASGIApp:
    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            room.enter()
        except TooManyWaiting as full:
            await answer_to(scope, full).to_asgi_response()(scope, receive, send)
            return
        try:
            try:
                answer = await command_answer(scope, receive, commands, **scope["path_params"])
            except Exception as error:
                answer = answer_to(scope, error)
            await answer.to_asgi_response(status_code=201)(scope, receive, send)
        finally:
            room.leave()

    return answered
