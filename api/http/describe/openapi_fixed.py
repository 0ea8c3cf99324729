"""The paths of the OpenAPI document that no contract or declaration changes: batches and the schema registry. Pure."""

from refold.api.errors import HeaderInvalid, MediaTypeUnsupported, UnknownParameter
from refold.api.http.describe.openapi_parts import (
    PREFER,
    PROBLEM,
    TEXT,
    WHOLE,
    Json,
    headers,
    object_of,
    parameter,
    problems,
)
from refold.api.http.describe.registry import MEDIA_TYPE
from refold.api.http.describe.text_patterns import KEY, NOTE, TIME, text_of

NDJSON = "application/x-ndjson"
_ID = parameter(
    "path", "id", {**WHOLE, "minimum": 0, "maximum": 2**31 - 1}, "31 bits of the schema's fingerprint.", required=True
)
_SUBJECT = parameter("path", "subject", TEXT, "`<topic>-<full name of the record>`.", required=True)
_NUMBER = text_of("latest|-1|[1-9][0-9]{0,8}")
_VERSION = parameter("path", "version", _NUMBER, "A number, or `latest`.", required=True)
_TEXTS: Json = {"type": "array", "items": TEXT}
_NUMBERS: Json = {"type": "array", "items": WHOLE}
_SCHEMA = object_of(schema=TEXT, schemaType=TEXT)
_REGISTERED = object_of(subject=TEXT, id=WHOLE, version=WHOLE, schema=TEXT, schemaType=TEXT)
_PLACES: Json = {"type": "array", "items": object_of(subject=TEXT, version=WHOLE)}
_LINE: Json = {
    **object_of(
        command={**TEXT, "description": "`domain.category.Command`."},
        id={**KEY, "description": "What `Idempotency-Key` is to a single command."},
        data={"type": "object", "description": "The command's fields."},
        expected_version={**WHOLE, "minimum": 0, "description": "Version that the stream must have; 0: new."},
        occurred_at=TIME,
        actor=NOTE,
        correlation_id=NOTE,
    ),
    "required": ["command", "id", "data"],
    "additionalProperties": False,
}
_ANSWER = object_of(
    line={**WHOLE, "description": "Number of the line, from 1."},
    status={**WHOLE, "description": "What a POST of its own would have been answered with."},
    code={**TEXT, "description": "Of a line that failed; its other members are those of a problem."},
)

SCHEMAS: Json = {
    "CommandLine": _LINE,
    "LineAnswer": _ANSWER,
    "RegistryError": object_of(error_code=WHOLE, message=TEXT),
}


def fixed_paths() -> Json:
    """The operations by path and verb."""
    return {"/v1/commands": {"post": _batch()}, **{f"/registry{path}": verbs for path, verbs in _registry().items()}}


def _batch() -> Json:
    lines = {"schema": {"$ref": "#/components/schemas/CommandLine"}}
    answers = {
        "200": _ok("An answer a line, in order, while the body is still being sent.", _ref("LineAnswer"), NDJSON)
    }
    answers |= problems(HeaderInvalid, UnknownParameter, MediaTypeUnsupported)
    found = _operation("commands.batch", "commands", "Many commands, one a line, each answered in order.", [PREFER])
    return {**found, "requestBody": {"required": True, "content": {NDJSON: lines}}, "responses": answers}


def _registry() -> dict[str, Json]:
    subject, version = "/subjects/{subject}", "/subjects/{subject}/versions/{version}"
    return {
        "/schemas/ids/{id}": {"get": _read("schema", "A schema by its id.", [_ID], _SCHEMA)},
        "/schemas/ids/{id}/versions": {"get": _read("places", "Where the schema is registered.", [_ID], _PLACES)},
        "/schemas/ids/{id}/subjects": {"get": _read("subjectsOfId", "Its subjects.", [_ID], _TEXTS)},
        "/schemas/types": {"get": _read("types", "Kinds of schemas: AVRO.", [], _TEXTS)},
        "/subjects": {"get": _read("subjects", "Every subject.", [], _TEXTS)},
        subject: {"post": _look_up()},
        f"{subject}/versions": {"get": _read("versions", "Numbers of its versions.", [_SUBJECT], _NUMBERS)},
        version: {"get": _read("version", "One version.", [_SUBJECT, _VERSION], _REGISTERED)},
        f"{version}/schema": {"get": _read("bare", "Its bare schema.", [_SUBJECT, _VERSION], {"type": "object"})},
        "/config": {"get": _read("config", "How schemas may change.", [], object_of(compatibilityLevel=TEXT))},
        "/config/{subject}": {
            "get": _read(
                "configOfSubject", "The same for all subjects.", [_SUBJECT], object_of(compatibilityLevel=TEXT)
            )
        },
        "/mode": {"get": _read("mode", "READONLY: schemas come from the log.", [], object_of(mode=TEXT))},
        "/mode/{subject}": {"get": _read("modeOfSubject", "READONLY.", [_SUBJECT], object_of(mode=TEXT))},
    }


def _read(name: str, summary: str, parameters: list[Json], schema: Json) -> Json:
    answers = {"200": _ok(summary, schema, MEDIA_TYPE), **problems()}
    for status, text in {
        "400": "A parameter that there is not.",
        "404": "Not found: 40401, 40402, 40403.",
        "422": "Not valid: 42201, 42202.",
        "503": "Kafka is away: 50001.",
    }.items():
        refused = _ok(text, _ref("RegistryError"), MEDIA_TYPE)
        answers[status] = {**refused, "content": refused["content"] | PROBLEM}
    return {**_operation(f"registry.{name}", "registry", summary, parameters), "responses": answers}


def _look_up() -> Json:
    found = _read("lookUp", "The version that equals the schema in the body.", [_SUBJECT], _REGISTERED)
    sent = {**_SCHEMA, "required": ["schema"]}
    return {**found, "requestBody": {"required": True, "content": {MEDIA_TYPE: {"schema": sent}}}}


def _operation(name: str, tag: str, summary: str, parameters: list[Json]) -> Json:
    return {"operationId": name, "tags": [tag], "summary": summary, "parameters": parameters}


def _ok(text: str, schema: Json, media_type: str) -> Json:
    return {"description": text, "headers": headers(), "content": {media_type: {"schema": schema}}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
