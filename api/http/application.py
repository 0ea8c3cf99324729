"""The application: every route, what it is given, and what errors become."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from litestar import Litestar
from litestar.di import Provide
from litestar.types import ASGIApp, Receive, Scope, Send

from refold.api.http.commands import batch_routes, fact_routes, routes
from refold.api.http.commands.services import CommandServices
from refold.api.http.describe import dictionary_routes, operations, registry
from refold.api.http.describe.metrics import counting
from refold.api.http.describe.services import OperationServices
from refold.api.http.hot.kept import KeptAnswers
from refold.api.http.hot.paths import hot_paths
from refold.api.http.reads import explain, streams, trace
from refold.api.http.reads import routes as models
from refold.api.http.reads.services import ModelServices, StreamServices
from refold.api.http.wire import problems
from refold.api.http.wire.content_coding import encoded
from refold.api.http.wire.limited import Room
from refold.api.http.wire.paths import acceptable, known_parameters

HotPaths = Callable[[Scope], ASGIApp | None]
"""What answers a request without the framework; None for most requests."""
Opened = Callable[[], AbstractAsyncContextManager[None]]


class Application(Litestar):
    """The framework's application; its hot paths are answered before the framework sees them."""

    def __init__(self, hot: HotPaths, kept: KeptAnswers, **more: Any) -> None:
        """`kept`: answers to reads, which connections may give themselves."""
        super().__init__(**more)
        self.hot, self.kept = hot, kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]  # the framework's own name for a lifespan's scope
        """Answer a request, or run the application's lifespan."""
        hot = self.hot(scope)
        await (super().__call__ if hot is None else hot)(scope, receive, send)


def application(
    for_commands: CommandServices,
    for_streams: StreamServices,
    for_models: ModelServices,
    for_operations: OperationServices,
    for_registry: registry.SchemaRegistry,
    opened: Opened = nullcontext,
) -> Litestar:
    """The ASGI application over these services; `opened` brackets its life."""

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with opened():
            yield

    room = Room()
    kept = KeptAnswers(for_models)
    return Application(
        hot_paths(room, for_commands, for_models, kept),
        kept,
        route_handlers=[
            routes.ROUTES,
            batch_routes.ROUTES,
            fact_routes.ROUTES,
            streams.ROUTES,
            explain.ROUTES,
            trace.ROUTES,
            models.ROUTES,
            operations.ROUTES,
            dictionary_routes.ROUTES,
            registry.ROUTES,
            problems.read_problem,
        ],
        dependencies={
            "commands": _given(for_commands),
            "streams": _given(for_streams),
            "models": _given(for_models),
            "why": Provide(lambda: for_models.why, sync_to_thread=False),
            "operations": _given(for_operations),
            "registry": _given(for_registry),
        },
        exception_handlers=problems.HANDLERS,
        middleware=[counting, problems.answered, encoded, room.limited, known_parameters, acceptable],
        lifespan=[lifespan],
        request_max_body_size=None,  # `bodies` reads them, and bounds them
        openapi_config=None,
        logging_config=None,
    )


def _given(value: object) -> Provide:
    def provide() -> Any:
        return value

    return Provide(provide, sync_to_thread=False)
