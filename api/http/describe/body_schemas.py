"""JSON Schema of the bodies of commands and facts: msgspec's, with what our own checks add to it. Pure."""

from typing import Any

import msgspec

from refold.api.http.describe.openapi_parts import Json
from refold.api.http.describe.text_patterns import ANY_TEXT, INSTANT, STREAM, whole
from refold.schemas.avro import resolved, schema_of
from refold.schemas.binary import LEAST_LONG, MOST_LONG
from refold.schemas.contracts import Category, Command, Event

REF = "#/components/schemas/{name}"


def command_schemas(category: Category) -> dict[str, Json]:
    """JSON Schema of each command's body, by name."""
    return {command.__name__: _body(command, command.stream_field) for command in category.own_commands}


def fact_schemas(category: Category) -> dict[str, Json]:
    """JSON Schema of each fact's data, by name."""
    return {fact.__name__: _body(fact) for fact in category.facts}


def _body(cls: type[Command | Event], stream_field: str | None = None) -> Json:
    _, parts = msgspec.json.schema_components([cls], ref_template=REF)
    found: Json = _inlined(parts[cls.__name__], parts)
    fields = found["properties"]
    if stream_field is not None and fields[stream_field].get("type") == "string":
        fields[stream_field] = STREAM | fields[stream_field]
    for field in resolved(schema_of(cls, "any.any")["fields"][1:]):
        fields[field["name"]] = _bounded(fields[field["name"]], field["type"])
    for schema in fields.values():
        if (
            "default" in schema and schema["default"] is None
        ):  # generators take a field with a default for one that is there
            del schema["default"]
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


def _bounded(schema: Json, kind: Any) -> Json:
    """A field's schema with the bounds of its Avro type, which `validate` checks."""
    found = schema
    match kind:
        case ["null", inner] if "anyOf" in schema:
            parts = [part if part.get("type") == "null" else _bounded(part, inner) for part in schema["anyOf"]]
            found = {**schema, "anyOf": parts}
        case {"type": "array", "items": items}:
            found = {**schema, "items": _bounded(schema["items"], items)}
        case {"logicalType": "decimal"}:
            found = _decimal(schema, kind["precision"], kind["scale"])
        case {"logicalType": "timestamp-micros"}:
            found = _also(schema, whole(INSTANT))
        case "long":
            found = {"minimum": LEAST_LONG, "maximum": MOST_LONG} | schema
        case "string":
            found = _also(schema, whole(ANY_TEXT))
    return found


def _also(schema: Json, pattern: str) -> Json:
    """The schema with this pattern, unless it has one of its own, which is narrower."""
    return {"pattern": pattern} | schema


def _decimal(schema: Json, precision: int, scale: int) -> Json:
    """A text of so many digits, or a number, which a client's JSON library must not round."""
    digits = f"0*[0-9]{{1,{precision - scale}}}" if precision > scale else "0+"
    places = rf"(?:\.[0-9]{{1,{scale}}}0*)?" if scale else r"(?:\.0+)?"
    return _also(schema, whole(f"-?{digits}{places}"))
