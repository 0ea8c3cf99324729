"""The parts of the OpenAPI document that no contract or declaration changes."""

from typing import Any

from refold.api.error_page import meaning, retry_after_of, status_of
from refold.api.errors import (
    HeadersTimeout,
    HeadersTooLarge,
    InternalError,
    RequestMalformed,
    RouteUnknown,
    TargetTooLong,
    TooManyWaiting,
)
from refold.api.reading_errors import NotAcceptable
from refold.api.unavailable import Stopping
from refold.schemas.errors import RefoldError

Json = dict[str, Any]
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
_UUID: Json = {"type": "string", "format": "uuid"}
_TIME: Json = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Json = {"type": ["string", "null"], "format": "date-time"}

JSON_TYPES: dict[str, Json] = {
    "smallint": WHOLE,
    "integer": WHOLE,
    "bigint": {"type": "integer", "format": "int64"},
    "numeric": {"type": "string", "format": "decimal"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "timestamptz": _TIME,
    "uuid": _UUID,
    # Values that JSON has no number for (NaN, Infinity) are texts; intervals and the like are texts anyway.
    "real": {"type": ["number", "string"]},
    "double precision": {"type": ["number", "string"]},
    "jsonb": {},
}

ABOUT = (
    "Commands become events in the log, events become rows. Every answer says the position it reflects in "
    "`Refold-Position`; send it as `Refold-Min-Position` to read your own write. Money is a decimal as a JSON string."
)


def object_of(**properties: Json) -> Json:
    """An object with these members."""
    return {"type": "object", "properties": properties}


_DECIDED = {
    "command_id": _UUID,
    "stream": TEXT,
    "events": WHOLE,
    "base_version": WHOLE,
    "version": WHOLE,
    "event_ids": {"type": "array", "items": _UUID},
    "position": TEXT,
}
_EVENT = object_of(
    version=WHOLE,
    index=WHOLE,
    type=TEXT,
    stored_type=TEXT,
    id=_UUID,
    occurred_at=_TIME,
    recorded_at=_TIME,
    appended_at=_TIME,
    command_id=_UUID,
    actor={"type": ["string", "null"]},
    correlation_id={"type": ["string", "null"]},
    partition=WHOLE,
    offset=WHOLE,
    data={"type": "object"},
)

SCHEMAS: Json = {
    "Decided": object_of(**_DECIDED),
    "Pending": object_of(command_id=_UUID, stream=TEXT, status=TEXT, outcome=TEXT),
    "Outcome": object_of(
        status={"type": "string", "enum": ["accepted", "rejected", "pending"]}, code=TEXT, message=TEXT, **_DECIDED
    ),
    "Stream": object_of(
        category=TEXT,
        stream=TEXT,
        version=WHOLE,
        current_version={**WHOLE, "description": "Only of an earlier version or time."},
        occurred_at={
            **_TIME_OR_NULL,
            "description": "As the next two: of the last event; only of an earlier version or time.",
        },
        recorded_at=_TIME_OR_NULL,
        appended_at=_TIME_OR_NULL,
        state={"type": ["object", "null"]},
        events={"type": "array", "items": _EVENT},
        next={"type": ["string", "null"]},
        position=TEXT,
    ),
    "Problem": {
        "description": "RFC 9457; docs/errors.md lists the codes.",
        "required": ["type", "title", "status", "code", "detail", "message"],
        **object_of(
            type=TEXT,
            title=TEXT,
            status=WHOLE,
            code=TEXT,
            detail=TEXT,
            remedy=TEXT,
            request_id=TEXT,
            message={**TEXT, "description": "As the next two: what PostgREST's clients show."},
            details={"type": ["string", "null"]},
            hint={"type": ["string", "null"]},
            errors={"type": "array", "items": object_of(field=TEXT, code=TEXT, message=TEXT)},
        ),
    },
}


_EVERYWHERE = (
    RequestMalformed,
    RouteUnknown,
    NotAcceptable,
    HeadersTimeout,
    TargetTooLong,
    TooManyWaiting,
    HeadersTooLarge,
    InternalError,
    Stopping,
)
"""Errors that each path may have, whatever it answers."""


def problems(*errors: type[RefoldError], content: Json = PROBLEM) -> Json:
    """The answers with these errors and with those that each path may have, by status."""
    by_status: dict[str, list[type[RefoldError]]] = {}
    for error in dict.fromkeys((*errors, *_EVERYWHERE)):
        by_status.setdefault(str(status_of(error(""))), []).append(error)
    return {status: _refusal(by_status[status], content) for status in sorted(by_status)}


def _refusal(errors: list[type[RefoldError]], content: Json) -> Json:
    text = " ".join(f"`{error.code}`: {meaning(error)}" for error in errors)
    waits = any(retry_after_of(error("")) for error in errors)
    return {"description": text, "headers": headers(*(["Retry-After"] if waits else [])), "content": content}


HEADERS: dict[str, tuple[Json, str]] = {
    "X-Request-Id": ({**TEXT, "minLength": 1, "maxLength": 128}, "The request's id: yours if it is sound, else ours."),
    "Retry-After": ({**WHOLE, "minimum": 0}, "Seconds after which to ask again."),
    "Location": ({**TEXT, "format": "uri-reference"}, "Where the result is found."),
    "Content-Range": (
        {**TEXT, "pattern": r"^(?:\*|[0-9]+-[0-9]+)/(?:\*|[0-9]+)$"},
        "Which rows these are, of how many: `0-24/*`, `0-24/3573`, `*/*`.",
    ),
    "Link": ({**TEXT, "pattern": '^<[^>]+>; rel="next"$'}, "The next page; absent on the last."),
    "Refold-Cursor": ({**TEXT, "pattern": "^[A-Za-z0-9_-]+$"}, "The cursor of the next page; absent on the last."),
    "Refold-Position": (TEXT, "The position that the answer reflects."),
    "Refold-Lag": ({**WHOLE, "minimum": 0}, "Records that the core has folded and this model has not."),
    "Refold-Age": (
        {**WHOLE, "minimum": 0},
        "Seconds: what was appended longer ago is in the rows; 0 while nothing is missing.",
    ),
    "Refold-As-Of": (_TIME, "When the newest record that the rows show was appended; absent before the first."),
    "Refold-Parked": ({**WHOLE, "minimum": 1}, "Streams that wait because an event of theirs failed; absent if none."),
    "Refold-Detached": (TEXT, "Why the model is not written with the others; absent if it is."),
    "Refold-Snapshot": (TEXT, "The name of the snapshot that the rows are of; absent for the rows of now."),
    "Cache-Control": (TEXT, "`immutable` for the rows of a snapshot; absent for the rows of now."),
    "ETag": ({**TEXT, "pattern": '^(?:W/)?"[^"]*"$'}, "Of what is answered, for a conditional request."),
    "Last-Modified": (TEXT, "For `If-Modified-Since`; absent in the first second."),
    "Content-Disposition": (TEXT, "The name of a file; absent on a page."),
    "Content-Location": (TEXT, "The path with its parameters in order."),
    "Preference-Applied": (TEXT, "The preferences that were followed."),
    "Vary": (TEXT, "The headers of a request on which the answer depends."),
}
"""The headers of answers: schema and meaning."""


def headers(*names: str) -> Json:
    """These headers of an answer, and the request's id, which each answer has."""
    return {name: {"schema": HEADERS[name][0], "description": HEADERS[name][1]} for name in ("X-Request-Id", *names)}


def parameter(place: str, name: str, schema: Json, text: str, *, required: bool = False) -> Json:
    """A parameter in the path, the query or a header."""
    return {"in": place, "name": name, "schema": schema, "description": text, "required": required}


PREFER = parameter("header", "Prefer", TEXT, "`wait=N`: seconds to wait at most, 0-30; default 5.")
