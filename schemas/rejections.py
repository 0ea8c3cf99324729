"""A rejection as read models see it: an event of its category whose fields are those of the log's record."""

from typing import Annotated

import msgspec

from refold.schemas.contracts import Event
from refold.schemas.meta import REJECTED


class RejectedCommand(Event):
    """A command that was rejected. Its `m_version` is the version of the stream that refused it."""

    command: Annotated[str, msgspec.Meta(description="Name of the command.")]
    code: Annotated[str, msgspec.Meta(description="Stable code of the reason.")]
    message: Annotated[str, msgspec.Meta(description="The reason, for people.")]


REJECTION = f"{REJECTED['namespace']}.{REJECTED['name']}"
"""The type's name among a category's events. It has a point, so no event of an author has it."""
RejectedCommand.__name__ = REJECTION
