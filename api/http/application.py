"""The application: every route, what it is given, and what errors become."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from litestar import Litestar
from litestar.di import Provide

from refold.api.http.commands import batch_routes, routes
from refold.api.http.commands.services import CommandServices
from refold.api.http.describe import dictionary_routes, operations, registry
from refold.api.http.describe.metrics import counting
from refold.api.http.describe.services import OperationServices
from refold.api.http.reads import explain, streams, trace
from refold.api.http.reads import routes as models
from refold.api.http.reads.services import ModelServices, StreamServices
from refold.api.http.wire import problems
from refold.api.http.wire.limited import Room
from refold.api.http.wire.paths import known_parameters

Opened = Callable[[], AbstractAsyncContextManager[None]]


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

    return Litestar(
        route_handlers=[
            routes.ROUTES,
            batch_routes.ROUTES,
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
            "why": _given(for_models.why),
            "operations": _given(for_operations),
            "registry": _given(for_registry),
        },
        exception_handlers=problems.HANDLERS,
        middleware=[counting, Room().limited, known_parameters],
        lifespan=[lifespan],
        request_max_body_size=None,  # `bodies` reads them, and bounds them
        openapi_config=None,
        logging_config=None,
    )


def _given(value: object) -> Provide:
    def provide() -> Any:
        return value

    return Provide(provide, sync_to_thread=False)
