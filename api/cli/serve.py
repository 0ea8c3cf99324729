"""`refold api`."""

from typing import Annotated

from cyclopts import Parameter

from refold.api.cli.roles import run_role
from refold.streams.settings import Settings


def api(*, supervised: Annotated[bool, Parameter(show=False, negative=())] = False) -> None:
    """Serve commands, streams and read models over HTTP, in the foreground.

    Example: REFOLD_API_PORT=9000 refold api
    """
    run_role("api", Settings.load(), supervised=supervised)
