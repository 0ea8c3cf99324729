"""The command `refold api`: serves the API in this process."""

from typing import Annotated

from cyclopts import Parameter

from refold.api.cli.roles import run_role
from refold.streams.settings import Settings


def api(*, supervised: Annotated[bool, Parameter(show=False, negative=())] = False) -> None:
    """Serve the API in this process.

    Args:
        supervised: end when standard input closes.
    """
    run_role("api", Settings.load(), supervised=supervised)
