"""The path of OpenAPI that takes events as they are: CloudEvents, with a schema of the data of each fact. Pure."""

from refold.api.errors import (
    BodyIncomplete,
    BodyTimeout,
    BodyTooLarge,
    CommandIdReused,
    CommandRejected,
    CommandUnreadable,
    HeaderInvalid,
    MalformedJson,
    MediaTypeUnsupported,
    UnknownParameter,
    VersionConflict,
)
from refold.api.http.commands.facts import BATCH, STRUCTURED
from refold.api.http.describe.body_schemas import REF, fact_schemas
from refold.api.http.describe.openapi_fixed import NDJSON
from refold.api.http.describe.openapi_parts import PREFER, TEXT, Json, headers, object_of, parameter, problems
from refold.api.http.describe.text_patterns import NOTE, STREAM, VERSION
from refold.api.unavailable import AppendUnknown, NotPrepared
from refold.schemas.contracts import Category
from refold.schemas.errors import BadValue
from refold.streams.errors import CommandTooLarge, DatabaseUnavailable, DeliveryFailed, KafkaUnavailable, QueueFull
from refold.streams.sending.cloud_event import MOST_LETTERS

_NAME: Json = {**TEXT, "minLength": 1, "maxLength": MOST_LETTERS}
_ERRORS = (
    HeaderInvalid, MalformedJson, BodyIncomplete, BodyTimeout, BodyTooLarge, MediaTypeUnsupported, BadValue, CommandIdReused,
    CommandTooLarge, CommandRejected, CommandUnreadable, VersionConflict, UnknownParameter, AppendUnknown, DeliveryFailed,
    QueueFull, DatabaseUnavailable, KafkaUnavailable, NotPrepared,
)  # fmt: skip


def schemas_of(category: Category) -> Json:
    """The schemas of the data of a category's facts, and of an event in the JSON format."""
    found = {f"{category.name}.{name}": schema for name, schema in fact_schemas(category).items()}
    return found | {f"{category.name}.facts": _event(category)}


def publish(category: Category) -> Json:
    """The operation that publishes events of a category."""
    data = [_ref(f"{category.name}.{fact.__name__}") for fact in category.facts]
    event = _ref(f"{category.name}.facts")
    content: Json = {
        STRUCTURED: {"schema": event},
        BATCH: {"schema": {"type": "array", "items": event}},
        "application/json": {"schema": data[0] if len(data) == 1 else {"anyOf": data}},
    }
    answers: Json = {
        "200": {
            "description": "Of a batch: an answer an event, in order.",
            "headers": headers(),
            "content": {NDJSON: {"schema": _ref("LineAnswer")}},
        },
        "201": _ok("Published: the event is in the log.", "Decided", "Location", "ETag", "Refold-Position"),
        "202": _ok("In the log, not decided yet.", "Pending", "Location", "Retry-After"),
    }
    return {
        "operationId": f"{category.name}.publish",
        "tags": [category.name],
        "summary": f"Publish events of {category.name} as they are, as CloudEvents in binary, structured or batch mode.",
        "parameters": [
            *_binary(category),
            parameter("header", "If-Match", VERSION, "Version that the stream must have."),
            PREFER,
        ],
        "requestBody": {"required": True, "content": content},
        "responses": {**answers, **problems(*_ERRORS)},
    }


def _event(category: Category) -> Json:
    names = [name for fact in category.facts for name in (fact.__name__, f"{category.name}.{fact.__name__}")]
    schema = object_of(
        specversion={**TEXT, "enum": ["1.0"]},
        id={**_NAME, "description": "With `source` it names the event; a retry repeats both."},
        source={**_NAME, "description": "Who publishes it; the event's actor."},
        type={**TEXT, "enum": names},
        subject={**STREAM, "description": "The stream's id."},
        partitionkey={**STREAM, "description": "The stream's id where there is no `subject`."},
        time={**TEXT, "format": "date-time", "description": "When it happened; default: now."},
        datacontenttype={**TEXT, "description": "`application/json`."},
        dataschema={**TEXT, "description": "A released schema of the type: `…/schemas/ids/{id}`."},
        expectedversion={"type": ["integer", "string"], "description": "Version that the stream must have; 0: new."},
        correlationid=NOTE,
        data={"anyOf": [_ref(f"{category.name}.{fact.__name__}") for fact in category.facts]},
        data_base64={**TEXT, "description": "In place of `data`: its JSON in base64."},
    )
    return {
        **schema,
        "description": f"An event of {category.name}.",
        "required": ["specversion", "id", "source", "type"],
    }


def _binary(category: Category) -> list[Json]:
    """The headers of binary mode."""
    fields = _event(category)["properties"]
    left_out = {"data", "data_base64", "datacontenttype"}
    texts = {"expectedversion": VERSION | {"pattern": "^(0|[1-9][0-9]{0,17})$"}}
    return [
        parameter("header", f"ce-{name}", texts.get(name, schema), f"Binary mode: `{name}`.")
        for name, schema in fields.items()
        if name not in left_out
    ]


def _ok(text: str, name: str, *said: str) -> Json:
    return {"description": text, "headers": headers(*said), "content": {"application/json": {"schema": _ref(name)}}}


def _ref(name: str) -> Json:
    return {"$ref": REF.format(name=name)}
