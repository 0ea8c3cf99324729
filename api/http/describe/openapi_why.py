"""The paths of the OpenAPI document that answer why: explanations of rows, and traces. Pure."""

from collections.abc import Iterable

from refold.api.errors import (
    CursorInvalid,
    FilterInvalid,
    HeaderInvalid,
    LimitInvalid,
    PositionNotReached,
    RowAbsent,
    RowKeyInvalid,
    TokenMalformed,
    UnknownParameter,
)
from refold.api.http.describe.openapi_parts import PREFER, TEXT, WHOLE, Json, headers, object_of, parameter, problems
from refold.api.http.describe.text_patterns import CURSOR, position, text_of
from refold.api.http.describe.value_patterns import key_part_schema, key_schema, name_of
from refold.api.http.reads.explain import DEFAULT_CHANGES, MAX_CHANGES
from refold.api.http.reads.row_keys import PARAMETERS
from refold.api.http.reads.trace import MOST_ID, MOST_LIMIT
from refold.api.past_errors import TraceUnknown, ViewNotExplained
from refold.api.tracing.following import MOST_COMMANDS
from refold.projections.errors import DeclarationDiffers, KeyUnfit
from refold.projections.tables.serving import ServedModel
from refold.schemas.errors import RefoldError
from refold.streams.domain import Domains
from refold.streams.errors import DatabaseUnavailable, KafkaUnavailable

Errors = tuple[type[RefoldError], ...]
_TRUTH: Json = {"type": "boolean"}
_TRACE = [
    parameter(
        "query", "limit", {**WHOLE, "minimum": 1, "maximum": MOST_LIMIT, "default": MOST_COMMANDS}, "Most commands."
    ),
    parameter("query", "cursor", CURSOR, "From `next` of an answer whose search is not done."),
]
_PAGE = [
    parameter(
        "query", "limit", {**WHOLE, "minimum": 0, "maximum": MAX_CHANGES, "default": DEFAULT_CHANGES}, "Most events."
    ),
    parameter("query", "order", {**TEXT, "enum": ["asc", "desc"]}, "`desc` lists the newest event first."),
    parameter("query", "cursor", CURSOR, "From `next` of the page before."),
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


_ID = text_of(r"[^\u0000]+", minLength=1, maxLength=MOST_ID)


def explain(model: ServedModel, domains: Domains) -> Json:
    """The explanation of a row of one read model."""
    said = f"The key: {','.join(model.key)}; a slash is percent-encoded."
    key = parameter("path", "key", key_schema(model), said, required=True)
    parameters = [key, *_PAGE, *_fresh(domains, model.categories)]
    return _operation(
        f"{model.domain}.{model.name}.explain",
        f"Why a row of {model.name} is as it is.",
        parameters,
        "Explanation",
        _NO_EXPLANATION,
    )


def explain_by_parameters(model: ServedModel, domains: Domains) -> Json:
    """The same for each key, also one that no path can hold."""
    columns = {column.name: column for column in model.columns}
    key = [
        parameter(
            "query",
            name_of(name, PARAMETERS),
            key_part_schema(columns[name]),
            f"`eq.VALUE` ({columns[name].sql_type}) or `is.null`. {columns[name].doc}",
            required=True,
        )
        for name in model.key
    ]
    return _operation(
        f"{model.domain}.{model.name}.explain_by_parameters",
        f"Why a row of {model.name} is as it is; its key may be null, `.` or `..`.",
        [*key, *_PAGE, *_fresh(domains, model.categories)],
        "Explanation",
        _NO_EXPLANATION,
    )


def paths() -> Json:
    """The paths that are the same for all read models."""
    traced = "What came of a command id, an Idempotency-Key or a correlation id."
    by_path = [parameter("path", "id", _ID, "The id; a slash in it may be percent-encoded.", required=True)]
    by_query = [parameter("query", "id", _ID, "The id.", required=True)]
    return {
        "/v1/trace/{id}": {"get": _operation("trace", traced, [*by_path, *_TRACE], "Trace", _NO_TRACE)},
        "/v1/trace": {"get": _operation("traceById", traced, [*by_query, *_TRACE], "Trace", _NO_TRACE)},
    }


def _fresh(domains: Domains, categories: Iterable[str]) -> list[Json]:
    wanted = position(domains.categories[name] for name in categories)
    return [parameter("header", "Refold-Min-Position", wanted, "Answer only at this position or a later one."), PREFER]


def _operation(name: str, summary: str, parameters: list[Json], schema: str, errors: Errors) -> Json:
    answer = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {
        "operationId": name,
        "tags": ["why"],
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "200": {
                "description": summary,
                "headers": headers("Link", "Refold-Position", "Retry-After"),
                "content": {"application/json": answer},
            },
            **problems(*errors),
        },
    }


_ALWAYS = (FilterInvalid, LimitInvalid, CursorInvalid, UnknownParameter, DatabaseUnavailable, KafkaUnavailable)
_NO_EXPLANATION: Errors = (
    RowKeyInvalid,
    KeyUnfit,
    RowAbsent,
    HeaderInvalid,
    TokenMalformed,
    PositionNotReached,
    ViewNotExplained,
    DeclarationDiffers,
    *_ALWAYS,
)
_NO_TRACE: Errors = (TraceUnknown, *_ALWAYS)
