"""Checks a released schema, whoever wrote it: both decoders must be able to read it, and records must stay bounded.

`avro` refuses the same faults in classes while it makes a schema. This module checks the schema itself, as the log will
have it.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from refold.schemas.avro import MOST_DIGITS, Schema, without_docs
from refold.schemas.binary import LEAST_LONG, MOST_LONG
from refold.schemas.meta import COMMAND_META, EVENT_META

_SCALARS = frozenset({"boolean", "int", "long", "string"})
_LOGICAL = {("long", "timestamp-micros"), ("int", "date")}


class Fault(NamedTuple):
    """A rule that a schema breaks, and the path at fault."""

    rule: str
    path: str
    message: str


def faults(schema: Schema) -> list[Fault]:
    """Every rule that the schema of a command or event breaks."""
    return [*_envelope(schema), *_texts(schema, "$"), *_Walk().fields(schema["fields"][1:], "$", ())]


def _envelope(schema: Schema) -> Iterator[Fault]:
    first = without_docs(schema["fields"][0]) if schema["fields"] else {}
    if first.get("name") != "meta" or first.get("type") not in (without_docs(EVENT_META), without_docs(COMMAND_META)):
        yield Fault("envelope", "$.meta", "the first field is not the log's envelope, which never changes")


def _texts(part: Schema, path: str) -> Iterator[Fault]:
    if not part.get("doc"):
        yield Fault("no-doc", path, "has no doc")
    if "aliases" in part:
        yield Fault("alias", path, "has aliases, which the reader does not follow")


class _Walk:
    """One pass over the types of a schema; it remembers the names it has met."""

    def __init__(self) -> None:
        self._zero_bytes: dict[str, bool] = {}
        self._symbols: dict[str, list[str]] = {}

    def fields(self, fields: list[Schema], path: str, within: tuple[str, ...]) -> Iterator[Fault]:
        for field in fields:
            place = f"{path}.{field['name']}"
            yield from _texts(field, place)
            yield from self._type(field["type"], place, within)
            if "default" in field and not self._holds(field["type"], field["default"]):
                yield Fault("default-type", place, f"the default {field['default']!r:.60} is not of the field's type")

    def _type(self, kind: Any, path: str, within: tuple[str, ...]) -> Iterator[Fault]:
        if isinstance(kind, str):
            yield from self._name(kind, path, within)
        elif isinstance(kind, list):
            yield from self._union(kind, path, within)
        elif kind["type"] == "array":
            yield from self._type(kind["items"], f"{path}[]", within)
            if self._takes_no_bytes(kind["items"]):
                yield Fault("zero-byte-items", f"{path}[]", "six bytes could announce a billion items that take none")
        elif "name" in kind:
            yield from self._named(kind, path, within)
        elif "logicalType" in kind:
            yield from _logical(kind, path)
        elif kind["type"] == "map":
            yield Fault("type", path, "a map has no place in a contract")
            yield from self._type(kind["values"], f"{path}{{}}", within)
        else:
            yield from self._type(kind["type"], path, within)

    def _name(self, name: str, path: str, within: tuple[str, ...]) -> Iterator[Fault]:
        short = name.rpartition(".")[2]
        if name in ("float", "double"):
            yield Fault("float", path, f"a {name} rounds; use a decimal or a whole number")
        elif short in within:
            yield Fault("recursion", path, f"{short} holds itself")
        elif name not in _SCALARS and short not in self._zero_bytes:
            yield Fault("type", path, f"{name} has no place in a contract")

    def _union(self, branches: list[Any], path: str, within: tuple[str, ...]) -> Iterator[Fault]:
        if len(branches) != 2 or branches[0] != "null" or branches[1] == "null":
            yield Fault("union", path, "of unions only [null, T] is read")
        for branch in branches:
            if branch != "null":
                yield from self._type(branch, path, within)

    def _named(self, kind: Schema, path: str, within: tuple[str, ...]) -> Iterator[Fault]:
        if "aliases" in kind:
            yield Fault("alias", path, f"{kind['name']} has aliases, which the reader does not follow")
        if kind["type"] == "enum":
            self._zero_bytes[kind["name"]] = False
            self._symbols[kind["name"]] = kind["symbols"]
            return
        yield Fault("type", path, f"a {kind['type']} has no place in a contract")
        if kind["type"] == "record":
            yield from self.fields(kind["fields"], path, (*within, kind["name"]))
        self._zero_bytes[kind["name"]] = self._takes_no_bytes(kind)

    def _holds(self, kind: Any, value: object) -> bool:
        """Whether a default is a value of its type. Another rule reports types that are not allowed."""
        match kind:
            case list():
                return value is None if kind[:1] == ["null"] else True
            case {"type": "array", "items": items}:
                return isinstance(value, list) and all(self._holds(items, item) for item in value)
            case {"type": "enum", "symbols": symbols}:
                return value in symbols
            case {"type": str(inner)}:
                return self._holds(inner, value)
            case str() if kind.rpartition(".")[2] in self._symbols:
                return value in self._symbols[kind.rpartition(".")[2]]
        return _is_scalar(kind, value)

    def _takes_no_bytes(self, kind: Any) -> bool:
        match kind:
            case str():
                return kind == "null" or self._zero_bytes.get(kind.rpartition(".")[2], False)
            case {"type": "fixed", "size": size}:
                return bool(size == 0)
            case {"type": "record", "name": name, "fields": fields}:
                self._zero_bytes.setdefault(name, False)  # a record that holds itself ends somewhere
                return all(self._takes_no_bytes(field["type"]) for field in fields)
            case {"type": inner}:
                return bool(inner == "null")
        return False


def _is_scalar(kind: Any, value: object) -> bool:
    match kind:
        case "boolean":
            return isinstance(value, bool)
        case "int":
            return type(value) is int and -(2**31) <= value < 2**31
        case "long":
            return type(value) is int and LEAST_LONG <= value <= MOST_LONG
        case "string" | "bytes":
            return isinstance(value, str)
    return True


def _logical(kind: Schema, path: str) -> Iterator[Fault]:
    if kind["logicalType"] == "decimal" and kind["type"] == "bytes":
        precision, scale = kind.get("precision"), kind.get("scale", 0)
        if not isinstance(precision, int) or not isinstance(scale, int) or not _fits(precision, scale):
            yield Fault("logical-type", path, f"of a decimal, 0 <= scale <= precision <= {MOST_DIGITS}")
    elif (kind["type"], kind["logicalType"]) not in _LOGICAL:
        yield Fault("logical-type", path, f"{kind['logicalType']} of {kind['type']} is not read")


def _fits(precision: int, scale: int) -> bool:
    return 0 <= scale <= precision and 1 <= precision <= MOST_DIGITS
