"""What a line is about: an error's stable code, the place of a record, the request and the command that it concerns."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any
from uuid import UUID

import psycopg
from confluent_kafka import KafkaError, KafkaException

from refold.schemas.errors import RefoldError
from refold.streams.chunk import Place
from refold.streams.errors import DatabaseUnavailable
from refold.streams.refusals import is_away, of_kafka, refusal_of

CONTEXT: ContextVar[Mapping[str, Any] | None] = ContextVar("refold_line_context", default=None)
"""Of the request that is answered: its `request_id` and, once known, its `command_id`. Whatever else it holds is not looked at."""
IDS = ("request_id", "command_id")
FIELDS = ("topic", "partition", "offset", *IDS, "method", "route", "status", "ms")
"""What a line may say besides its message, in the order in which it is written."""
ABOUT = "refold_about"


def about(
    problem: object = None,
    *,
    place: Place | None = None,
    offset: int | None = None,
    command_id: UUID | None = None,
    of: object = None,
    **more: Any,
) -> dict[str, dict[str, Any]]:
    """The `extra` of a logging call. The same words of two partitions are two faults, and so they are of two `of`, which is not written.

    `words`: what tells a fault instead of the message, but for its numbers. `repeats=True`: a line that is no warning, and is counted as one where it comes again and again.
    """
    found: dict[str, Any] = dict(more)
    if of is not None:
        found["of"] = of
    if (code := code_of(problem)) is not None:
        found["code"] = code
    if place is not None:
        found["topic"], found["partition"] = place
    if offset is not None:
        found["offset"] = offset
    if command_id is not None:
        found["command_id"] = command_id
    return {ABOUT: found}


def code_of(problem: object) -> str | None:
    """The stable code of an error, be it ours or a server's."""
    if isinstance(problem, RefoldError):
        return problem.code
    if isinstance(problem, psycopg.Error):
        refusal = refusal_of(problem)
        return refusal.code if refusal else DatabaseUnavailable.code if is_away(problem) else None
    if isinstance(problem, KafkaException) and problem.args:
        problem = problem.args[0]
    return of_kafka(problem, "").code if isinstance(problem, KafkaError) else None
