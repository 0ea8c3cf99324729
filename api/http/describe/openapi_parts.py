"""The parts of the OpenAPI document that no contract or declaration changes."""

from typing import Any

from refold.api.error_page import meaning, status_of
from refold.schemas.errors import RefoldError

Json = dict[str, Any]
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
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
        **object_of(
            type=TEXT,
            title=TEXT,
            status=WHOLE,
            code=TEXT,
            detail=TEXT,
            remedy=TEXT,
            errors={"type": "array", "items": object_of(field=TEXT, code=TEXT, message=TEXT)},
        ),
    },
}


def problems(*errors: type[RefoldError]) -> Json:
    """The answers with these errors, by status."""
    by_status: dict[str, list[str]] = {}
    for error in errors:
        by_status.setdefault(str(status_of(error(""))), []).append(f"`{error.code}`: {meaning(error)}")
    return {status: {"description": " ".join(texts), "content": _PROBLEM} for status, texts in by_status.items()}


def parameter(place: str, name: str, schema: Json, text: str, *, required: bool = False) -> Json:
    """A parameter in the path, the query or a header."""
    return {"in": place, "name": name, "schema": schema, "description": text, "required": required}


PREFER = parameter("header", "Prefer", TEXT, "`wait=N`: seconds to wait at most, 0-30; default 5.")
KNOWN: Json = {"description": "The client has this answer already: `If-None-Match` or `If-Modified-Since` says so."}
MAX_AGE = parameter(
    "header", "Refold-Max-Age", TEXT, "Answer only if the rows show everything older than so many seconds: `5`, `0.5`."
)
MIN_POSITION = parameter("header", "Refold-Min-Position", TEXT, "Answer only at this position or a later one.")
