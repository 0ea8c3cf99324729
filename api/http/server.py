"""The process of the HTTP API: `main(settings)`."""

import logging

import uvicorn
from litestar import Litestar

from refold.api.http.resources import Resources
from refold.streams.domain import load_domains
from refold.streams.settings import Settings

MAX_CONNECTIONS = 4000
_log = logging.getLogger(__name__)


def main(settings: Settings) -> None:
    """Serve until told to stop; a stop lets requests in flight finish."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    resources = Resources(settings, load_domains(settings.domains))
    app = resources.application()
    uvicorn.Server(server_config(settings, app)).run()


def server_config(settings: Settings, app: Litestar) -> uvicorn.Config:
    """How the application is served."""
    return uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
    )
