"""Typed classes to Avro schemas, and the id of a schema: a pure function of the class."""

import hashlib
import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import inspect

from refold.schemas.contracts import Command, Event
from refold.schemas.errors import ContractError
from refold.schemas.meta import COMMAND_META, EVENT_META

Schema = dict[str, Any]


def schema_of(kind: type[Event | Command], category: str) -> Schema:
    """The Avro record of a class: the envelope first, then its fields in order."""
    meta = EVENT_META if issubclass(kind, Event) else COMMAND_META
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    fields = [_field(field, kind) for field in described.fields]
    return {
        "type": "record",
        "name": kind.__name__,
        "namespace": category,
        "doc": (kind.__doc__ or "").strip(),
        "fields": [{"name": "meta", "type": meta, "doc": "The log's envelope."}, *fields],
    }


def schema_id(schema: Schema) -> int:
    """31 bits of SHA-256 over the schema without its texts, so that a better doc is not another schema."""
    text = json.dumps(without_docs(schema), sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) & 0x7FFFFFFF


def without_docs(schema: Any) -> Any:
    """The schema without any `doc`."""
    if isinstance(schema, dict):
        return {key: without_docs(value) for key, value in schema.items() if key != "doc"}
    if isinstance(schema, list):
        return [without_docs(part) for part in schema]
    return schema


def _field(field: inspect.Field, owner: type) -> Schema:
    described, doc, _ = _unwrapped(field.type)
    where = f"{owner.__name__}.{field.name}"
    schema: Schema = {"name": field.name, "type": _avro_type(field.type, where), "doc": doc or _doc_inside(described)}
    if field.default is not inspect.NODEFAULT:
        schema["default"] = _default(field.default, where)
    elif field.default_factory is not inspect.NODEFAULT:
        schema["default"] = _default(field.default_factory(), where)
    return schema


def _avro_type(declared: inspect.Type, where: str) -> Any:
    described, _, extra = _unwrapped(declared)
    match described:
        case inspect.BoolType():
            return "boolean"
        case inspect.IntType():
            narrow = _at_least(described.ge, -(2**31)) and _at_most(described.le, 2**31 - 1)
            return "int" if narrow else "long"
        case inspect.StrType():
            return "string"
        case inspect.DecimalType():
            if "precision" not in extra or "scale" not in extra:
                message = f"{where}: a Decimal needs its precision and scale (use Money)"
                raise ContractError(message)
            return {"type": "bytes", "logicalType": "decimal", **extra}
        case inspect.DateTimeType():
            return {"type": "long", "logicalType": "timestamp-micros"}
        case inspect.DateType():
            return {"type": "int", "logicalType": "date"}
        case inspect.EnumType(cls=cls):
            return {"type": "enum", "name": cls.__name__, "symbols": [str(member.value) for member in cls]}
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return {"type": "array", "items": _avro_type(item, where)}
        case inspect.UnionType():
            return _optional(described, where)
    message = f"{where}: {type(described).__name__} has no place in a contract"
    raise ContractError(message)


def _optional(described: inspect.UnionType, where: str) -> list[Any]:
    others = [part for part in described.types if not isinstance(part, inspect.NoneType)]
    if len(others) != 1 or len(others) == len(described.types):
        message = f"{where}: of unions only `T | None` is allowed"
        raise ContractError(message)
    return ["null", _avro_type(others[0], where)]


def _unwrapped(declared: inspect.Type) -> tuple[inspect.Type, str, dict[str, Any]]:
    doc, extra = "", {}
    while isinstance(declared, inspect.Metadata):
        doc = doc or (declared.extra_json_schema or {}).get("description", "")
        extra = {**(declared.extra or {}), **extra}
        declared = declared.type
    return declared, doc, extra


def _doc_inside(described: inspect.Type) -> str:
    if not isinstance(described, inspect.UnionType):
        return ""
    return next((doc for part in described.types if (doc := _unwrapped(part)[1])), "")


def _default(value: object, where: str) -> object:
    if isinstance(value, Decimal | datetime | date):
        message = f"{where}: Avro has no readable default for {type(value).__name__}; make the field optional (None)"
        raise ContractError(message)
    return msgspec.to_builtins(value)


def _at_least(bound: float | None, limit: int) -> bool:
    return bound is not None and bound >= limit


def _at_most(bound: float | None, limit: int) -> bool:
    return bound is not None and bound <= limit
