"""The part of the OpenAPI document about streams of changes. OpenAPI 3.1 has no words for events: the description has them."""

from refold.api.error_page import meaning
from refold.api.errors import FilterInvalid, TokenMalformed, UnknownOperator, UnknownParameter
from refold.api.http.describe.openapi_parts import TEXT, Json, parameter
from refold.api.http.reads.language.query_string import RESERVED
from refold.projections.tables.serving import ServedModel

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_BAD = (TokenMalformed, FilterInvalid, UnknownOperator, UnknownParameter)
_EVENTS = (
    "Server-Sent Events as long as the connection lasts: `row` (the row as it is now), `removed` (the key of a row that is not shown any more),"
    " `position` (its id is the place up to which the rows are right), `reset` (read again), `end` (why the stream ends; connect again)."
)


def changes_of(model: ServedModel) -> Json:
    """The operation that streams a model's changes."""
    columns = [
        parameter(
            "query", f'"{c.name}"' if c.name in RESERVED else c.name, TEXT, f"As in the list ({c.sql_type}). {c.doc}"
        )
        for c in model.columns
    ]
    since = parameter(
        "query", "since", TEXT, "`now` (default), `beginning` (all rows first), an id, or a `Refold-Position`."
    )
    last = parameter("header", "Last-Event-ID", TEXT, "The id of the last event; goes before `since`.")
    refusals = " ".join(f"`{error.code}`: {meaning(error)}" for error in _BAD)
    return {
        "operationId": f"{model.domain}.{model.name}.changes",
        "tags": [model.domain],
        "summary": f"Changes of {model.name}, as they come.",
        "parameters": [*columns, since, last],
        "responses": {
            "200": {"description": _EVENTS, "content": {"text/event-stream": {"schema": TEXT}}},
            "400": {"description": refusals, "content": _PROBLEM},
        },
    }
