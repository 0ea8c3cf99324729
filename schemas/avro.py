"""Typed classes to Avro schemas, and the id of a schema: a pure function of the class."""

import hashlib
import json
import re
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from refold.schemas.contracts import Command, Event, is_storable
from refold.schemas.errors import ContractError
from refold.schemas.meta import COMMAND_META, EVENT_META

Schema = dict[str, Any]
MOST_DIGITS = 38
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_CLASS_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
"""Names that a class may have: a frozen schema's file is named after the category and the class."""
_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_TAKEN = frozenset({"meta"})
"""Field names that are reserved, with all that begin with `m_`: the envelope's, and in frames our own columns'."""
_AVRO_WORDS = frozenset(
    {
        "null",
        "boolean",
        "int",
        "long",
        "float",
        "double",
        "bytes",
        "string",
        "record",
        "enum",
        "array",
        "map",
        "union",
        "fixed",
    }
)
"""Names that a type may not have: Avro would read a reference to it as its own type."""
_PLAIN: dict[type[inspect.Type], Any] = {
    inspect.BoolType: "boolean",
    inspect.StrType: "string",
    inspect.DateTimeType: {"type": "long", "logicalType": "timestamp-micros"},
    inspect.DateType: {"type": "int", "logicalType": "date"},
}
_OPTIONAL_DECIMAL = '`Annotated[Decimal, Meta(extra={"precision": p, "scale": s})] | None`'
_NO_READABLE_DEFAULT = (Decimal, datetime, date)
_NO_TYPE = (TypeError, NameError, re.error)
"""What msgspec raises of an unknown type, a missing name, an invalid pattern, and a bound that the type does not take."""


def schema_of(kind: type[Event | Command], category: str) -> Schema:
    """The Avro record of a class: the envelope first, then its fields in order. Raises ContractError."""
    doc = _class_doc(kind)
    meta = EVENT_META if issubclass(kind, Event) else COMMAND_META
    try:
        described = inspect.type_info(kind)
    except _NO_TYPE as problem:
        raise ContractError(_undescribed(kind, problem)) from problem
    assert isinstance(described, inspect.StructType)
    seen: dict[str, type] = {_type_name(kind): kind}
    fields = [_field(field, kind, seen) for field in described.fields]
    return {
        "type": "record",
        "name": kind.__name__,
        "namespace": category,
        "doc": doc,
        "fields": [{"name": "meta", "type": meta, "doc": "The log's envelope."}, *fields],
    }


def _undescribed(kind: type[Event | Command], problem: Exception) -> str:
    """Which field msgspec cannot describe, and what the author should write."""
    if isinstance(problem, NameError):  # no annotation of the class can be resolved
        return f"{kind.__name__}: {problem}"
    hints = get_type_hints(kind, include_extras=True)
    for name in kind.__struct_fields__:  # the hints have what is said of the class, too
        declared = hints[name]
        try:
            inspect.type_info(declared)
        except _NO_TYPE as own:
            if NoneType in get_args(get_args(declared)[0] if get_origin(declared) is Annotated else declared):
                return (
                    f"{kind.__name__}.{name}: a bound of an optional field stands within: "
                    f"`Annotated[str, Meta(description=…, max_length=9)] | None` ({own})"
                )
            return f"{kind.__name__}.{name}: {own}"
    return f"{kind.__name__}: {problem}"


def is_field_name(name: str) -> bool:
    """Whether a field may have this name."""
    return bool(_FIELD_NAME.fullmatch(name)) and name not in _TAKEN and not name.startswith("m_")


def schema_id(schema: Schema) -> int:
    """31 bits of SHA-256 over the schema without its texts, so a better doc does not make another schema."""
    text = json.dumps(without_docs(schema), sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) & 0x7FFFFFFF


def without_docs(schema: Any) -> Any:
    """The schema without any `doc`."""
    if isinstance(schema, dict):
        return {key: without_docs(value) for key, value in schema.items() if key != "doc"}
    if isinstance(schema, list):
        return [without_docs(part) for part in schema]
    return schema


def resolved(fields: list[Schema]) -> list[Schema]:
    """The fields with each type written out at each use; Avro only names a type that was defined before."""
    named: dict[str, Any] = {}
    return [{**field, "type": _resolved(field["type"], named)} for field in fields]


def _resolved(kind: Any, named: dict[str, Any]) -> Any:
    if isinstance(kind, str):
        return named.get(kind.rpartition(".")[2], kind)
    if isinstance(kind, list):
        return [_resolved(part, named) for part in kind]
    if kind["type"] == "array":
        return {**kind, "items": _resolved(kind["items"], named)}
    if "name" in kind:
        named[kind["name"]] = kind
    return kind


def _class_doc(kind: type[Event | Command]) -> str:
    doc = str(vars(kind).get("__doc__") or "").strip()
    if not is_storable(doc):
        raise ContractError(
            f"{kind.__name__}: its docstring is no text that can be stored: a NUL, or half a surrogate pair"
        )
    if not doc:
        raise ContractError(
            f"{kind.__name__} has no docstring: write one that says what happened, or what the command asks for"
        )
    return doc


def _field(field: inspect.Field, owner: type, seen: dict[str, type]) -> Schema:
    where = f"{owner.__name__}.{field.name}"
    if field.encode_name != field.name:
        raise ContractError(f"{where}: its other name, {field.encode_name}, is not followed; a field has one name")
    if not is_field_name(field.name):
        raise ContractError(f"{where}: a field's name is lower case, neither meta nor m_…")
    described, doc, _ = _unwrapped(field.type)
    doc = doc or _doc_inside(described)
    if not is_storable(doc):
        raise ContractError(f"{where}: its description is no text that can be stored: a NUL, or half a surrogate pair")
    if not doc:
        raise ContractError(f"{where} has no description: Annotated[…, msgspec.Meta(description='…')]")
    schema: Schema = {"name": field.name, "type": _avro_type(field.type, where, seen), "doc": doc}
    if field.default is not msgspec.NODEFAULT:
        schema["default"] = _default(field.default, schema["type"], where)
    elif field.default_factory is not msgspec.NODEFAULT:
        schema["default"] = _default(field.default_factory(), schema["type"], where)
    return schema


def _avro_type(declared: inspect.Type, where: str, seen: dict[str, type]) -> Any:
    described, _, extra = _unwrapped(declared)
    match described:
        case inspect.IntType():
            narrow = _at_least(described.ge, -(2**31)) and _at_most(described.le, 2**31 - 1)
            return "int" if narrow else "long"
        case inspect.DecimalType():
            return _decimal(extra, where)
        case inspect.EnumType(cls=cls):
            return _enum(cls, where, seen)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return {"type": "array", "items": _avro_type(item, where, seen)}
        case inspect.UnionType():
            return _optional(described, where, seen)
    if type(described) not in _PLAIN:
        raise ContractError(f"{where}: {type(described).__name__} has no place in a contract")
    return _PLAIN[type(described)]


def _decimal(extra: dict[str, Any], where: str) -> Schema:
    precision, scale = extra.get("precision"), extra.get("scale")
    if type(precision) is not int or type(scale) is not int:  # a bool is an int too
        raise ContractError(
            f"{where}: a Decimal needs its precision and scale (use Money); of an optional one they stand within: {_OPTIONAL_DECIMAL}"
        )
    if not 0 <= scale <= precision or not 1 <= precision <= MOST_DIGITS:
        raise ContractError(f"{where}: of a Decimal, 0 <= scale <= precision <= {MOST_DIGITS}")
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def _enum(cls: type[Enum], where: str, seen: dict[str, type]) -> Any:
    """The enum's type; only its name after the first use, since Avro defines a named type once."""
    symbols = [member.value for member in cls]
    for symbol in symbols:
        if not isinstance(symbol, str) or not _SYMBOL.fullmatch(symbol):
            raise ContractError(f"{where}: {symbol!r} of {cls.__name__} is no Avro symbol (letters, digits and _)")
    name = _type_name(cls)
    if name in seen:
        if seen[name] is not cls:
            raise ContractError(f"{where}: two types are named {name}")
        return name
    seen[name] = cls
    return {"type": "enum", "name": name, "symbols": symbols}


def _type_name(cls: type) -> str:
    name = cls.__name__
    if not _CLASS_NAME.fullmatch(name) or name in _AVRO_WORDS:
        raise ContractError(
            f"{name} is no name of a type in Avro: at most 100 letters of ASCII, digits and _, and no word of its own"
        )
    return name


def _optional(described: inspect.UnionType, where: str, seen: dict[str, type]) -> list[Any]:
    others = [part for part in described.types if not isinstance(part, inspect.NoneType)]
    if len(others) != 1 or len(others) == len(described.types):
        raise ContractError(f"{where}: of unions only `T | None` is allowed")
    return ["null", _avro_type(others[0], where, seen)]


def _unwrapped(declared: inspect.Type) -> tuple[inspect.Type, str, dict[str, Any]]:
    doc = ""
    extra: dict[str, Any] = {}
    while isinstance(declared, inspect.Metadata):
        doc = doc or (declared.extra_json_schema or {}).get("description", "")
        extra = {**(declared.extra or {}), **extra}
        declared = declared.type
    return declared, doc, extra


def _doc_inside(described: inspect.Type) -> str:
    if not isinstance(described, inspect.UnionType):
        return ""
    return next((doc for part in described.types if (doc := _unwrapped(part)[1])), "")


def _default(value: object, kind: Any, where: str) -> object:
    if isinstance(kind, list) and value is not None:
        raise ContractError(f"{where}: the default of `T | None` is None")
    items = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(item, _NO_READABLE_DEFAULT) for item in items):
        raise ContractError(f"{where}: Avro has no readable default of this type; make the field optional (None)")
    if any(isinstance(item, str) and not is_storable(item) for item in items):
        raise ContractError(f"{where}: its default is no text that an event can hold: a NUL, or half a surrogate pair")
    plain = msgspec.to_builtins(value)
    return list(plain) if isinstance(plain, tuple) else plain


def _at_least(bound: float | None, limit: int) -> bool:
    return bound is not None and bound >= limit


def _at_most(bound: float | None, limit: int) -> bool:
    return bound is not None and bound <= limit
