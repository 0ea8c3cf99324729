"""The part of the OpenAPI document about streams of changes. OpenAPI 3.1 has no words for events: the description has them."""

from refold.api.errors import FilterInvalid, TokenMalformed, UnknownOperator, UnknownParameter
from refold.api.http.describe.openapi_parts import TEXT, Json, headers, parameter, problems
from refold.api.http.describe.openapi_reads import filters_of
from refold.api.http.describe.text_patterns import position_pattern, text_of
from refold.api.reading_errors import OperatorUnfit, QueryTooLarge
from refold.projections.tables.serving import ServedModel

_BAD = (TokenMalformed, FilterInvalid, UnknownOperator, UnknownParameter, OperatorUnfit, QueryTooLarge)
_EVENTS = (
    "Server-Sent Events as long as the connection lasts: `row` (the row as it is now), `removed` (the key of a row that is not shown any more),"
    " `position` (its id is the place up to which the rows are right), `reset` (read again), `end` (why the stream ends; connect again)."
)


def changes_of(model: ServedModel) -> Json:
    """The operation that streams a model's changes."""
    places = position_pattern(f"{name}.events" for name in model.categories)
    since = parameter(
        "query",
        "since",
        text_of(f"now|beginning|(?:[0-9a-f]{{12}}@)?{places}|[0-9a-f]{{12}}@"),
        "`now` (default), `beginning` (all rows first), an id, or a `Refold-Position`.",
    )
    last = parameter("header", "Last-Event-ID", TEXT, "The id of the last event; goes before `since`.")
    return {
        "operationId": f"{model.domain}.{model.name}.changes",
        "tags": [model.domain],
        "summary": f"Changes of {model.name}, as they come.",
        "parameters": [*filters_of(model), since, last],
        "responses": {
            "200": {
                "description": _EVENTS,
                "headers": headers(),
                "content": {"text/event-stream": {"schema": TEXT}},
            },
            **problems(*_BAD),
        },
    }
