"""The paths of the OpenAPI document that answer why: explanations of rows, and traces. Pure."""

from refold.api.errors import (
    CursorInvalid,
    FilterInvalid,
    LimitInvalid,
    PositionNotReached,
    RowAbsent,
    RowKeyInvalid,
    TooManyWaiting,
    UnknownParameter,
)
from refold.api.http.describe.openapi_parts import (
    MIN_POSITION,
    PREFER,
    TEXT,
    WHOLE,
    Json,
    object_of,
    parameter,
    problems,
)
from refold.api.http.reads.explain import DEFAULT_CHANGES, MAX_CHANGES
from refold.api.http.reads.trace import MOST_LIMIT
from refold.api.past_errors import TraceUnknown, ViewNotExplained
from refold.api.tracing.following import MOST_COMMANDS
from refold.projections.errors import DeclarationDiffers, KeyUnfit
from refold.projections.tables.serving import ServedModel
from refold.schemas.errors import RefoldError
from refold.streams.errors import DatabaseUnavailable

Errors = tuple[type[RefoldError], ...]
_TRUTH: Json = {"type": "boolean"}
_TRACE = [
    parameter(
        "query", "limit", {**WHOLE, "minimum": 1, "maximum": MOST_LIMIT, "default": MOST_COMMANDS}, "Most commands."
    ),
    parameter("query", "cursor", TEXT, "From `next` of an answer whose search is not done."),
]
_PAGE = [
    parameter(
        "query", "limit", {**WHOLE, "minimum": 0, "maximum": MAX_CHANGES, "default": DEFAULT_CHANGES}, "Most events."
    ),
    parameter("query", "order", {**TEXT, "enum": ["asc", "desc"]}, "`desc` lists the newest event first."),
    parameter("query", "cursor", TEXT, "From `next` of the page before."),
    MIN_POSITION,
    PREFER,
]
_COLUMN = object_of(before={}, after={}, adds={"description": "Of counts and sums: what the event added."})
_EVENT = object_of(
    category=TEXT,
    stream=TEXT,
    version=WHOLE,
    types={"type": "array", "items": TEXT},
    stored_type=TEXT,
    id={**TEXT, "format": "uuid"},
    occurred_at={**TEXT, "format": "date-time"},
    recorded_at={**TEXT, "format": "date-time"},
    command_id={**TEXT, "format": "uuid"},
    actor={"type": ["string", "null"]},
    correlation_id={"type": ["string", "null"]},
    position=TEXT,
    effect={**TEXT, "enum": ["created", "changed", "unchanged", "deleted", "failed"]},
    changes={"type": "object", "additionalProperties": _COLUMN},
)

SCHEMAS: Json = {
    "Explanation": object_of(
        domain=TEXT,
        model=TEXT,
        key={"type": "object"},
        row={"type": ["object", "null"]},
        position=TEXT,
        complete={
            **_TRUTH,
            "description": "Whether every event of the row is found; if not, `next` goes on searching.",
        },
        adds_up={"type": ["boolean", "null"], "description": "Whether the events give exactly the row."},
        found_by={**TEXT, "enum": ["stream", "scan"]},
        records_read=WHOLE,
        records=WHOLE,
        events=WHOLE,
        summed={**WHOLE, "description": "Events that are in the totals only."},
        totals={"type": "object"},
        changes={"type": "array", "items": _EVENT},
        waiting={"type": "array", "items": {"type": "object"}},
        void={"type": "array", "items": {"type": "object"}},
        not_looked_at=WHOLE,
        next={"type": ["string", "null"]},
    ),
    "Trace": object_of(
        id=TEXT,
        read_as={**TEXT, "enum": ["command", "correlation"]},
        complete={
            **_TRUTH,
            "description": "Whether everything is followed and all of the log searched, as far as needed.",
        },
        cut={"type": "array", "items": TEXT, "description": "Why it is not whole."},
        commands=WHOLE,
        events=WHOLE,
        tree={"type": "array", "items": {"type": "object"}},
        list={"type": "array", "items": object_of(depth=WHOLE, kind=TEXT)},
        next={"type": ["string", "null"]},
    ),
}


def explain(model: ServedModel) -> Json:
    """The explanation of a row of one read model."""
    key = parameter("path", "key", TEXT, f"The key: {','.join(model.key)}; a slash is percent-encoded.", required=True)
    text = f"Why a row of {model.name} is as it is."
    return _operation(f"{model.domain}.{model.name}.explain", text, [key, *_PAGE], "Explanation", _NO_EXPLANATION)


def paths() -> Json:
    """The paths that are the same for all read models."""
    text = "The same for each key: `column=eq.VALUE` or `column=is.null` for each of its columns."
    named = [parameter("path", name, TEXT, f"The {name}.", required=True) for name in ("domain", "model")]
    explained = _operation("explain", text, [*named, *_PAGE], "Explanation", _NO_EXPLANATION)
    traced = "What came of a command id, an Idempotency-Key or a correlation id."
    by_path = [parameter("path", "id", TEXT, "The id; a slash in it may be percent-encoded.", required=True)]
    by_query = [parameter("query", "id", TEXT, "The id.", required=True)]
    return {
        "/v1/explain/{domain}/{model}": {"get": explained},
        "/v1/trace/{id}": {"get": _operation("trace", traced, [*by_path, *_TRACE], "Trace", _NO_TRACE)},
        "/v1/trace": {"get": _operation("traceById", traced, [*by_query, *_TRACE], "Trace", _NO_TRACE)},
    }


def _operation(name: str, summary: str, parameters: list[Json], schema: str, errors: Errors) -> Json:
    answer = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {
        "operationId": name,
        "tags": ["why"],
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": summary, "content": {"application/json": answer}},
            **problems(*errors),
        },
    }


_ALWAYS = (FilterInvalid, LimitInvalid, CursorInvalid, UnknownParameter, TooManyWaiting, DatabaseUnavailable)
_NO_EXPLANATION: Errors = (
    RowKeyInvalid,
    KeyUnfit,
    RowAbsent,
    PositionNotReached,
    ViewNotExplained,
    DeclarationDiffers,
    *_ALWAYS,
)
_NO_TRACE: Errors = (TraceUnknown, *_ALWAYS)
