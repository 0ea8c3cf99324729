"""OpenAPI 3.1 from contracts and declarations: every command and every read model is a concrete path. Pure."""

from collections.abc import Iterable

import refold
from refold.api.errors import (
    BodyIncomplete,
    BodyTimeout,
    BodyTooLarge,
    CommandIdReused,
    CommandRejected,
    CommandUnreadable,
    FilterInvalid,
    HeaderInvalid,
    KeyInvalid,
    KeyMissing,
    LimitInvalid,
    MalformedJson,
    MediaTypeUnsupported,
    StreamAbsent,
    StreamIdInvalid,
    UnknownParameter,
    VersionConflict,
)
from refold.api.http.describe import openapi_facts, openapi_fixed, openapi_why
from refold.api.http.describe.body_schemas import REF, command_schemas
from refold.api.http.describe.openapi_changes import changes_of
from refold.api.http.describe.openapi_parts import (
    ABOUT,
    JSON_TYPES,
    PREFER,
    SCHEMAS,
    TEXT,
    WHOLE,
    Json,
    headers,
    parameter,
    problems,
)
from refold.api.http.describe.openapi_reads import row_of, rows_of, schemas_of
from refold.api.http.describe.text_patterns import KEY, NOTE, STREAM, TIME, TIME_OR_DAY, VERSION
from refold.api.http.reads.stream_past import APPENDED, MOST_VERSION, OCCURRED
from refold.api.http.reads.streams import MAX_EVENTS
from refold.api.past_errors import StreamTooLong, TimeInvalid, TimeNotReached, VersionNotReached
from refold.api.unavailable import AppendUnknown, LogUnreadable, NotPrepared, StreamUnreadable
from refold.projections.declaring.served_types import served_type
from refold.projections.tables.serving import ServedColumn, ServedLink, ServedModel
from refold.schemas.contracts import Category
from refold.schemas.errors import BadValue, RefoldError
from refold.streams.domain import Domains
from refold.streams.errors import CommandTooLarge, DatabaseUnavailable, DeliveryFailed, KafkaUnavailable, QueueFull


def document(domains: Domains, models: Iterable[ServedModel]) -> Json:
    """The whole document."""
    paths: Json = {}
    schemas: Json = {**SCHEMAS, **openapi_fixed.SCHEMAS, **openapi_why.SCHEMAS}
    for category in domains.categories.values():
        for name, schema in command_schemas(category).items():
            schemas[f"{category.name}.{name}"] = schema
            path = f"/v1/commands/{category.domain}/{category.short}/{name}"
            paths[path] = {"post": _command(category, name, schema)}
        if category.facts:
            schemas |= openapi_facts.schemas_of(category)
            paths[f"/v1/events/{category.domain}/{category.short}"] = {"post": openapi_facts.publish(category)}
        base = f"/v1/streams/{category.domain}/{category.short}/{{stream}}"
        paths[base] = {"get": _stream(category)}
        paths[f"{base}/commands/{{key}}"] = {"get": _outcome(category)}
        paths[base.removesuffix("/{stream}")] = {"get": _by_parameter(category)}
    for model in models:
        schemas[f"{model.domain}.{model.name}"] = model_schema(model)
        schemas |= schemas_of(model)
        paths[f"/v1/{model.domain}/{model.name}"] = {"get": rows_of(model, domains)}
        paths[f"/v1/{model.domain}/{model.name}/{{key}}"] = {"get": row_of(model, domains)}
        if not model.reads:
            paths[f"/v1/{model.domain}/{model.name}/changes"] = {"get": changes_of(model)}
            by_parameters = openapi_why.explain_by_parameters(model, domains)
            paths[f"/v1/explain/{model.domain}/{model.name}"] = {"get": by_parameters}
            paths[f"/v1/{model.domain}/{model.name}/{{key}}/explain"] = {"get": openapi_why.explain(model, domains)}
    paths |= openapi_fixed.fixed_paths() | openapi_why.paths()
    info = {"title": "Refold", "version": refold.__version__, "description": ABOUT}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def model_schema(model: ServedModel) -> Json:
    """JSON Schema of a read model's row."""
    properties = {column.name: _column_schema(column) for column in model.columns}
    linked = {link.name: _link_schema(model, link) for link in model.links}
    return {
        "type": "object",
        "description": model.doc,
        "properties": properties | linked,
        "required": list(properties),
    }


def _link_schema(model: ServedModel, link: ServedLink) -> Json:
    """What `select` embeds under a link's name: there only where it is asked for."""
    text = f"{link.doc} Only if embedded: `select=*,{link.name}(*)`."
    ref = _ref(f"{model.domain}.{link.to}")
    if link.many:
        return {"type": "array", "items": ref, "description": text}
    return {"anyOf": [ref, {"type": "null"}], "description": text}


def _column_schema(column: ServedColumn) -> Json:
    kind = served_type(column.sql_type)
    schema: Json = dict(JSON_TYPES.get(kind.name, TEXT))
    if kind.array:
        schema = {"type": "array"}
    if column.nullable and "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        schema["type"] = [*types, "null"]
    return {**schema, "description": column.doc}


def _command(category: Category, name: str, schema: Json) -> Json:
    body = {"required": True, "content": {"application/json": {"schema": _ref(f"{category.name}.{name}")}}}
    sent = [
        _header("Idempotency-Key", KEY, "A UUID made once for each command, repeated with each retry.", required=True),
        _header(
            "If-Match",
            VERSION,
            'Version that the stream must have, in quotes: `"7"`. `"0"`: the stream must be new, as `If-None-Match: *` says, too.',
        ),
        PREFER,
        _header("Refold-Occurred-At", TIME, "When it happened, RFC 3339; default: now."),
        _header("Refold-Actor", NOTE, "Who sends it."),
        _header("Refold-Correlation-Id", NOTE, "Ties together what belongs to one request."),
    ]
    answers = {
        "201": _ok("Decided: its events are in the log.", _ref("Decided"), "Location", "ETag", "Refold-Position"),
        "202": _ok("In the log, not decided yet.", _ref("Pending"), "Location", "Retry-After"),
    }
    summary = schema.get("description", "")
    operation = _operation(f"{category.name}.{name}", category.name, summary, sent, answers, _REFUSED_COMMANDS)
    return operation | {"requestBody": body}


def _stream(category: Category) -> Json:
    parameters = [_path("stream", STREAM, "The stream's id."), *_VERSIONS]
    text = "State, version and events of a stream."
    answers = {"200": _ok("State, version and events.", _ref("Stream"), "ETag", "Link", "Refold-Position")}
    return _operation(f"{category.name}.stream", category.name, text, parameters, answers, _NO_STREAM)


def _by_parameter(category: Category) -> Json:
    text = "A stream, or the outcome of a command of it: for ids and keys that clients tidy out of a path (`.`, `..`)."
    key = "Id or Idempotency-Key of a command: its outcome is answered. It has no other parameter than `stream` beside it."
    parameters = [
        parameter("query", "stream", STREAM, "The stream's id.", required=True),
        _query("command", KEY, key),
        *_VERSIONS,
    ]
    either = {"anyOf": [_ref("Stream"), _ref("Outcome")]}
    answers = {"200": _ok(text, either, "ETag", "Link", "Refold-Position", "Retry-After")}
    errors = (*_NO_STREAM, KeyInvalid)
    return _operation(f"{category.name}.by_parameter", category.name, text, parameters, answers, errors)


def _outcome(category: Category) -> Json:
    parameters = [
        _path("stream", STREAM, "The stream's id."),
        _path(
            "key",
            KEY,
            "The command's id, or the Idempotency-Key it was sent with; a slash in it may be encoded or not.",
        ),
    ]
    text = "What became of a command."
    answers = {"200": _ok("accepted, rejected or pending.", _ref("Outcome"), "Refold-Position", "Retry-After")}
    errors = (KeyInvalid, StreamIdInvalid, UnknownParameter)
    return _operation(f"{category.name}.outcome", category.name, text, parameters, answers, errors)


def _operation(
    name: str, tag: str, summary: str, parameters: list[Json], answers: Json, errors: Iterable[type[RefoldError]]
) -> Json:
    responses = {**answers, **problems(*errors, DatabaseUnavailable, KafkaUnavailable, NotPrepared)}
    return {"operationId": name, "tags": [tag], "summary": summary, "parameters": parameters, "responses": responses}


def _ok(text: str, schema: Json, *said: str) -> Json:
    return {"description": text, "headers": headers(*said), "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> Json:
    return {"$ref": REF.format(name=name)}


def _header(name: str, schema: Json, text: str, *, required: bool = False) -> Json:
    return parameter("header", name, schema, text, required=required)


def _query(name: str, schema: Json, text: str) -> Json:
    return parameter("query", name, schema, text)


def _path(name: str, schema: Json, text: str) -> Json:
    return parameter("path", name, schema, text, required=True)


_VERSIONS = (
    _query(
        "after_version", {**WHOLE, "minimum": 0, "maximum": MOST_VERSION, "default": 0}, "Events after this version."
    ),
    _query("limit", {**WHOLE, "minimum": 0, "maximum": MAX_EVENTS, "default": 100}, "Most versions."),
    _query("version", {**WHOLE, "minimum": 0, "maximum": MOST_VERSION}, "The stream as it was at this version."),
    _query("at", TIME_OR_DAY, "The stream as it was before this time (RFC 3339, or a day); not beside `version`."),
    _query(
        "by",
        {**TEXT, "enum": [APPENDED, OCCURRED]},
        "Beside `at`: whose clock it goes by, the broker's (default), or the sender's.",
    ),
)
_NO_STREAM = (
    StreamAbsent, StreamIdInvalid, UnknownParameter, FilterInvalid, LimitInvalid, TimeInvalid, VersionNotReached,
    TimeNotReached, StreamTooLong, StreamUnreadable, LogUnreadable,
)  # fmt: skip
_REFUSED_COMMANDS = (
    KeyMissing, KeyInvalid, HeaderInvalid, MalformedJson, BodyIncomplete, BodyTimeout, CommandRejected, VersionConflict,
    BodyTooLarge, CommandTooLarge, MediaTypeUnsupported, BadValue, CommandIdReused, CommandUnreadable, UnknownParameter,
    AppendUnknown, DeliveryFailed, QueueFull,
)  # fmt: skip
