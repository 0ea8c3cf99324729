"""OpenAPI 3.1 from contracts and declarations: every command and every read model is a concrete path. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

import refold
from refold.api.errors import (
    BodyTooLarge,
    CommandIdReused,
    CommandRejected,
    FilterInvalid,
    KeyInvalid,
    KeyMissing,
    LimitInvalid,
    MalformedJson,
    MediaTypeUnsupported,
    StreamAbsent,
    StreamIdInvalid,
    TooManyWaiting,
    UnknownParameter,
    VersionConflict,
)
from refold.api.http.describe import openapi_fixed, openapi_why
from refold.api.http.describe.openapi_changes import changes_of
from refold.api.http.describe.openapi_parts import (
    ABOUT,
    JSON_TYPES,
    PREFER,
    SCHEMAS,
    TEXT,
    WHOLE,
    Json,
    parameter,
)
from refold.api.http.describe.openapi_parts import problems as _problems
from refold.api.http.describe.openapi_reads import row_of, rows_of
from refold.api.past_errors import StreamTooLong, TimeInvalid, TimeNotReached, VersionNotReached
from refold.projections.declaring.served_types import served_type
from refold.projections.tables.serving import ServedColumn, ServedModel
from refold.schemas.contracts import Category
from refold.schemas.errors import BadValue
from refold.streams.domain import Domains
from refold.streams.errors import DatabaseUnavailable

_REF = "#/components/schemas/{name}"


def document(domains: Domains, models: Iterable[ServedModel]) -> Json:
    """The whole document."""
    paths: Json = {}
    schemas: Json = {**SCHEMAS, **openapi_fixed.SCHEMAS, **openapi_why.SCHEMAS}
    for category in domains.categories.values():
        for name, schema in command_schemas(category).items():
            schemas[f"{category.name}.{name}"] = schema
            path = f"/v1/commands/{category.domain}/{category.short}/{name}"
            paths[path] = {"post": _command(category, name, schema)}
        base = f"/v1/streams/{category.domain}/{category.short}/{{stream}}"
        paths[base] = {"get": _stream(category)}
        paths[f"{base}/commands/{{key}}"] = {"get": _outcome(category)}
        paths[base.removesuffix("/{stream}")] = {"get": _by_parameter(category)}
    for model in models:
        schemas[f"{model.domain}.{model.name}"] = model_schema(model)
        paths[f"/v1/{model.domain}/{model.name}"] = {"get": rows_of(model)}
        paths[f"/v1/{model.domain}/{model.name}/{{key}}"] = {"get": row_of(model)}
        if not model.reads:
            paths[f"/v1/{model.domain}/{model.name}/changes"] = {"get": changes_of(model)}
            paths[f"/v1/{model.domain}/{model.name}/{{key}}/explain"] = {"get": openapi_why.explain(model)}
    paths |= openapi_fixed.fixed_paths() | openapi_why.paths()
    info = {"title": "Refold", "version": refold.__version__, "description": ABOUT}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def command_schemas(category: Category) -> dict[str, Json]:
    """JSON Schema of each command's body, by name."""
    found = {}
    for command in category.commands:
        _, parts = msgspec.json.schema_components([command], ref_template=_REF)
        found[command.__name__] = _inlined(parts[command.__name__], parts)
    return found


def _inlined(part: Any, parts: Json) -> Any:
    """The schema with each enum at its use: two categories may have different enums of one name."""
    if isinstance(part, list):
        return [_inlined(inner, parts) for inner in part]
    if not isinstance(part, dict):
        return part
    found = {name: _inlined(inner, parts) for name, inner in part.items() if name != "$ref"}
    if "$ref" not in part:
        return found
    return {"type": "string", **parts[part["$ref"].rpartition("/")[2]], **found}


def model_schema(model: ServedModel) -> Json:
    """JSON Schema of a read model's row."""
    properties = {column.name: _column_schema(column) for column in model.columns}
    return {"type": "object", "description": model.doc, "properties": properties, "required": list(properties)}


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
    headers = [
        _header("Idempotency-Key", "A UUID made once for each command, repeated with each retry.", required=True),
        _header("If-Match", 'Version that the stream must have, in quotes: "7".'),
        _header("If-None-Match", "`*`: the stream must be new."),
        PREFER,
        _header("Refold-Occurred-At", "When it happened, RFC 3339; default: now."),
        _header("Refold-Actor", "Who sends it."),
        _header("Refold-Correlation-Id", "Ties together what belongs to one request."),
    ]
    answers = {
        "201": _ok("Decided: its events are in the log.", _ref("Decided")),
        "202": _ok("In the log, not decided yet.", _ref("Pending")),
    }
    problems = _problems(
        KeyMissing,
        MalformedJson,
        CommandRejected,
        VersionConflict,
        BodyTooLarge,
        MediaTypeUnsupported,
        BadValue,
        CommandIdReused,
        TooManyWaiting,
    )
    summary = schema.get("description", "")
    return _operation(f"{category.name}.{name}", category.name, summary, headers, {**answers, **problems}) | {
        "requestBody": body
    }


def _stream(category: Category) -> Json:
    parameters = [_path("stream", "The stream's id."), *_VERSIONS]
    answers = {
        "200": _ok("State, version and events.", _ref("Stream")),
        **_problems(StreamAbsent, StreamIdInvalid, UnknownParameter, *_BAD_PASTS),
    }
    return _operation(
        f"{category.name}.stream", category.name, "State, version and events of a stream.", parameters, answers
    )


def _by_parameter(category: Category) -> Json:
    text = "A stream, or the outcome of a command of it: for ids and keys that clients tidy out of a path (`.`, `..`)."
    parameters = [
        parameter("query", "stream", TEXT, "The stream's id.", required=True),
        _query("command", TEXT, "Id or Idempotency-Key of a command: its outcome is answered."),
        *_VERSIONS,
    ]
    either = {"anyOf": [_ref("Stream"), _ref("Outcome")]}
    answers = {"200": _ok(text, either), **_problems(StreamAbsent, StreamIdInvalid, UnknownParameter, *_BAD_PASTS)}
    return _operation(f"{category.name}.by_parameter", category.name, text, parameters, answers)


def _outcome(category: Category) -> Json:
    parameters = [
        _path("stream", "The stream's id."),
        _path("key", "The command's id, or the Idempotency-Key it was sent with; a slash in it may be encoded or not."),
    ]
    answers = {
        "200": _ok("accepted, rejected or pending.", _ref("Outcome")),
        **_problems(KeyInvalid, StreamIdInvalid, UnknownParameter),
    }
    return _operation(f"{category.name}.outcome", category.name, "What became of a command.", parameters, answers)


def _operation(name: str, tag: str, summary: str, parameters: list[Json], answers: Json) -> Json:
    responses = {**answers, **_problems(DatabaseUnavailable)}
    return {"operationId": name, "tags": [tag], "summary": summary, "parameters": parameters, "responses": responses}


def _ok(text: str, schema: Json) -> Json:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> Json:
    return {"$ref": _REF.format(name=name)}


def _header(name: str, text: str, *, required: bool = False) -> Json:
    return parameter("header", name, TEXT, text, required=required)


def _query(name: str, schema: Json, text: str) -> Json:
    return parameter("query", name, schema, text)


def _path(name: str, text: str) -> Json:
    return parameter("path", name, TEXT, text, required=True)


_VERSIONS = (
    _query("after_version", {**WHOLE, "minimum": 0, "default": 0}, "Events after this version."),
    _query("limit", {**WHOLE, "minimum": 0, "maximum": 1000, "default": 100}, "Most versions."),
    _query("version", {**WHOLE, "minimum": 0}, "The stream as it was at this version."),
    _query("at", TEXT, "The stream as it was before this time (RFC 3339, or a day)."),
    _query(
        "by",
        {**TEXT, "enum": ["appended", "occurred"]},
        "Whose clock `at` goes by: the broker's (default), or the sender's.",
    ),
)
_BAD_PASTS = (FilterInvalid, LimitInvalid, TimeInvalid, VersionNotReached, TimeNotReached, StreamTooLong)
