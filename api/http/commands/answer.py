"""Answer: an outcome as an HTTP response. Pure."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from msgspec import json

from refold.api.errors import CommandRejected, CommandUnreadable, VersionConflict
from refold.api.http.commands.outcomes import Outcome
from refold.api.http.commands.request import Intent
from refold.api.http.wire.answer import JSON, Answer
from refold.api.http.wire.problems import problem, problem_body

_TIDIED = frozenset({".", ".."})
"""Streams whose names clients tidy away from a path."""
Rejection = CommandRejected | CommandUnreadable | VersionConflict


def decided(outcome: Outcome) -> Answer:
    """201, or the problem of a rejection."""
    headers = {"Refold-Position": outcome.position}
    if not outcome.accepted:
        error, about = rejection(outcome)
        if isinstance(error, VersionConflict):
            headers["ETag"] = f'"{outcome.base_version}"'
        return problem(error, headers=headers, about=about, code=_own_code(error, outcome), final=True)
    headers["Location"] = _after(outcome)
    headers["ETag"] = f'"{outcome.version}"'
    return Answer(json.encode(accepted_body(outcome)), status_code=201, media_type=JSON, headers=headers)


def decided_body(outcome: Outcome) -> dict[str, Any]:
    """The same as `decided` for one line of a batch, with the status as a member."""
    if outcome.accepted:
        return {"status": 201, **accepted_body(outcome)}
    error, about = rejection(outcome)
    return problem_body(error, about, _own_code(error, outcome))


def accepted_body(outcome: Outcome) -> dict[str, Any]:
    """The members of the answer to an accepted command."""
    return {
        "command_id": outcome.command_id,
        "stream": outcome.stream,
        "events": outcome.events,
        "base_version": outcome.base_version,
        "version": outcome.version,
        "event_ids": outcome.event_ids,
        "position": outcome.position,
    }


def pending(intent: Intent) -> Answer:
    """202: in the log, not decided yet."""
    location = outcome_path(intent.category, intent.stream, intent.command_id)
    body = {"command_id": intent.command_id, "stream": intent.stream, "status": "pending", "outcome": location}
    headers = {"Location": location, "Retry-After": "1"}
    return Answer(json.encode(body), status_code=202, media_type=JSON, headers=headers)


def outcome(command_id: UUID, stream: str, found: Outcome | None) -> Answer:
    """The outcome as a resource of its own; absent means pending, or never sent."""
    if found is None:
        body: dict[str, Any] = {"command_id": command_id, "stream": stream, "status": "pending"}
        return Answer(json.encode(body), media_type=JSON, headers={"Retry-After": "1"})
    body = {
        "command_id": command_id,
        "stream": stream,
        "status": "accepted" if found.accepted else "rejected",
        "base_version": found.base_version,
        "version": found.version,
        "events": found.events,
        "event_ids": found.event_ids,
        "position": found.position,
    }
    if not found.accepted:
        body |= {"code": found.code, "message": found.message}
    return Answer(json.encode(body), media_type=JSON, headers={"Refold-Position": found.position})


def stream_path(category: str, stream: str, **parameters: object) -> str:
    """The path of a stream. Its id needs no quoting in a path, but clients tidy `.` and `..` away: those go as a parameter."""
    domain, _, short = category.partition(".")
    path = f"/v1/streams/{domain}/{short}"
    if stream in _TIDIED:
        parameters = {"stream": stream} | parameters
    else:
        path += f"/{stream}"
    return f"{path}?{urlencode(parameters)}" if parameters else path


def _after(outcome: Outcome) -> str:
    """The path of the events of an outcome. Most streams need no parameter but the version: then nothing has to be quoted."""
    if outcome.stream in _TIDIED:
        return stream_path(outcome.category, outcome.stream, after_version=outcome.base_version)
    return f"{stream_path(outcome.category, outcome.stream)}?after_version={outcome.base_version}"


def outcome_path(category: str, stream: str, command_id: UUID) -> str:
    """The path of a command's outcome."""
    if stream in _TIDIED:
        return stream_path(category, stream, command=command_id)
    return f"{stream_path(category, stream)}/commands/{command_id}"


def rejection(outcome: Outcome) -> tuple[Rejection, dict[str, Any]]:
    """A rejection as an error, and the further members of its problem."""
    message = outcome.message or outcome.code or ""
    kind: type[Rejection] = CommandRejected
    if outcome.code == VersionConflict.code:
        kind = VersionConflict
    elif outcome.code == CommandUnreadable.code:
        kind = CommandUnreadable
    return kind(message), {
        "command_id": outcome.command_id,
        "stream": outcome.stream,
        "version": outcome.base_version,
        "position": outcome.position,
        "message": message,
    }


def _own_code(error: Rejection, outcome: Outcome) -> str | None:
    """A domain's own code replaces the platform's."""
    return outcome.code if isinstance(error, CommandRejected) else None
