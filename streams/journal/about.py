"""Attaches to a log line its subject: an error's code, a record's place, a request or a command."""

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
"""The request being answered: its `request_id` and, once known, its `command_id`. Other keys are ignored."""
IDS = ("request_id", "command_id")
FIELDS = ("topic", "partition", "offset", *IDS, "method", "route", "status", "ms")
"""Fields of a line besides its message, in the order in which they are written."""
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
    """The `extra` of a logging call. Equal words for two partitions, or for two `of` (not written), are two faults.

    `words`: names the fault instead of the message without its numbers. `repeats=True`: an information line that is
    counted like a warning when it repeats.
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
    """The stable code of an error, ours or a server's."""
    if isinstance(problem, RefoldError):
        return problem.code
    if isinstance(problem, psycopg.Error):
        refusal = refusal_of(problem)
        return refusal.code if refusal else DatabaseUnavailable.code if is_away(problem) else None
    if isinstance(problem, KafkaException) and problem.args:
        problem = problem.args[0]
    return of_kafka(problem, "").code if isinstance(problem, KafkaError) else None
