"""The process of the HTTP API: `main(settings)`."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
import uvicorn
from litestar import Router
from litestar.types import ASGIApp, Receive, Scope, Send

from refold.api.http.application import Application
from refold.api.http.doors.door import Door
from refold.api.http.doors.openness import doors_in_words, lets_everybody, refuse_open
from refold.api.http.draining import DrainingServer
from refold.api.http.hot.connection import KeepingConnection
from refold.api.http.hot.kept import KeptAnswers
from refold.api.http.resources import Resources
from refold.api.http.wire.access_log import logged
from refold.api.http.wire.connections import KEEP_ALIVE_S, BoundedConnection
from refold.api.http.wire.descriptors import connections_possible
from refold.api.http.wire.limited import MAX_CONNECTIONS, admitted, uncrowded
from refold.api.http.wire.listening import address, listening
from refold.api.http.wire.origins import every_answer, shared
from refold.api.http.wire.request_ids import told
from refold.api.stop_times import IN_FLIGHT_S
from refold.streams.domain import load_domains
from refold.streams.garbage import leave_alone_what_stays
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings

HANG_UP = MAX_CONNECTIONS + 500
"""Connections at which uvicorn itself answers a bare 503. It is above our own limit, so that clients we reject still get our answer."""
_log = logging.getLogger(__name__)


Beside = Callable[[Resources], Sequence[Router]]
"""Routes that stand beside the API, behind the same door, over the same resources."""


def main(settings: Settings, beside: Beside = lambda _: ()) -> None:
    """Serve until told to stop; a stop lets requests in flight finish. Raises AddressRefused, or DatabaseRefused if no request could be served."""
    refuse_open(settings)
    with suppress(psycopg.OperationalError):  # a server that is away is waited for while other requests are answered
        connect(settings.dsn(), application_name="api-start").close()
    resources = Resources(settings, load_domains(settings.domains))
    app = resources.application()
    for routes in beside(resources):
        app.register(routes)
    found = server(settings, app, resources.changes.stop, resources.door)
    found.config.limit_concurrency = connections_possible(HANG_UP)
    listener = listening(settings.api_host, settings.api_port)
    _log.info("the API listens on %s: %s", address(listener), doors_in_words(settings))
    leave_alone_what_stays()
    found.run([listener])


def server(
    settings: Settings, app: ASGIApp, drained: Callable[[], None] = lambda: None, door: Door | None = None
) -> DrainingServer:
    """The server of an application; it refuses connections and requests beyond its bounds, and gives kept answers itself.

    Without a `door` it has one that checks nothing: it lets everybody in if the settings say so, else nobody.
    """
    found: DrainingServer
    door = Door([], everybody=lets_everybody(settings)) if door is None else door
    crowd = uncrowded(
        door.guarded(app),
        lambda: len(found.server_state.connections),
        lambda: admitted(found.config.limit_concurrency),
    )

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await found.unready(crowd, scope, receive, send)

    whole = shared(told(logged(served) if settings.api_access_log else served), settings.api_origins)
    found = DrainingServer(
        server_config(settings, whole, door, app.kept if isinstance(app, Application) else None),
        settings.api_drain_s,
        drained,
    )
    return found


def server_config(settings: Settings, app: ASGIApp, door: Door, kept: KeptAnswers | None = None) -> uvicorn.Config:
    """The server's configuration."""
    connection: Any = BoundedConnection
    if kept is not None and kept.keeps:
        last = every_answer(settings.api_origins)
        connection = partial(KeepingConnection, kept, last, door, logs=settings.api_access_log)
    return uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http=connection,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,  # its log lines have the form of all others (`journal`)
        server_header=False,
        proxy_headers=False,
        limit_concurrency=HANG_UP,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=IN_FLIGHT_S,
    )
