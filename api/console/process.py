"""The process of the API with its console: `main(settings)`."""

from refold.api.console.routes import routes_of
from refold.api.console.services import ConsoleServices
from refold.api.http import server
from refold.api.http.resources import Resources
from refold.streams.settings import Settings


def main(settings: Settings) -> None:
    """Serve until told to stop. Raises as the API's own `main` does."""
    server.main(settings, lambda resources: [routes_of(_services(resources))])


def _services(resources: Resources) -> ConsoleServices:
    return ConsoleServices(resources.models(), resources.operations(), resources.watch.seen)
