"""The paths of the OpenAPI document that answer why: explanations of rows. Pure."""

from refold.api.errors import (
    CursorInvalid,
    FilterInvalid,
    LimitInvalid,
    RowAbsent,
    RowKeyInvalid,
    TooManyWaiting,
    UnknownParameter,
)
from refold.api.http.describe.openapi_parts import TEXT, WHOLE, Json, object_of, parameter, problems
from refold.api.http.reads.explain import DEFAULT_CHANGES, MAX_CHANGES
from refold.api.past_errors import ViewNotExplained
from refold.projections.errors import DeclarationDiffers, KeyUnfit
from refold.projections.tables.serving import ServedModel
from refold.streams.errors import DatabaseUnavailable

_TRUTH: Json = {"type": "boolean"}
_PAGE = [
    parameter(
        "query", "limit", {**WHOLE, "minimum": 0, "maximum": MAX_CHANGES, "default": DEFAULT_CHANGES}, "Most events."
    ),
    parameter("query", "order", {**TEXT, "enum": ["asc", "desc"]}, "`desc` lists the newest event first."),
    parameter("query", "cursor", TEXT, "From `next` of the page before."),
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
}


def explain(model: ServedModel) -> Json:
    """The explanation of a row of one read model."""
    key = parameter("path", "key", TEXT, f"The key: {','.join(model.key)}; a slash is percent-encoded.", required=True)
    return _operation(f"{model.domain}.{model.name}.explain", f"Why a row of {model.name} is as it is.", [key, *_PAGE])


def paths() -> Json:
    """The paths that are the same for all read models."""
    text = "The same for each key: `column=eq.VALUE` or `column=is.null` for each of its columns."
    named = [parameter("path", name, TEXT, f"The {name}.", required=True) for name in ("domain", "model")]
    return {"/v1/explain/{domain}/{model}": {"get": _operation("explain", text, [*named, *_PAGE])}}


def _operation(name: str, summary: str, parameters: list[Json]) -> Json:
    answer = {"schema": {"$ref": "#/components/schemas/Explanation"}}
    return {
        "operationId": name,
        "tags": ["why"],
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "The events behind the row.", "content": {"application/json": answer}},
            **problems(
                RowKeyInvalid,
                FilterInvalid,
                LimitInvalid,
                CursorInvalid,
                UnknownParameter,
                KeyUnfit,
                RowAbsent,
                ViewNotExplained,
                TooManyWaiting,
                DeclarationDiffers,
                DatabaseUnavailable,
            ),
        },
    }
