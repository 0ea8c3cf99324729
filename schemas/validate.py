"""JSON to a command and back to one canonical form: what a type forbids is refused, never coerced or rounded."""

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from refold.schemas.avro import schema_of
from refold.schemas.contracts import Command, Event
from refold.schemas.errors import BadValue

Contract = TypeVar("Contract", bound=Event | Command)
_PATH = re.compile(r" - at `(\$[^`]*)`$")


def from_json(body: bytes, cls: type[Contract]) -> Contract:
    """Decode and check. Raises BadValue with the JSON path for a wrong field, msgspec.DecodeError for bad JSON."""
    try:
        return canonical(msgspec.json.decode(body, type=cls))
    except msgspec.ValidationError as problem:
        raise _bad_value(problem) from problem


def from_fields(fields: dict[str, Any], cls: type[Contract]) -> Contract:
    """Build a class from decoded fields and check every bound. Raises BadValue."""
    try:
        return canonical(msgspec.convert(fields, cls))
    except msgspec.ValidationError as problem:
        raise _bad_value(problem) from problem


def canonical(value: Contract) -> Contract:
    """Exact decimals at their scale and times in UTC, so that equal bodies have equal bytes. Raises BadValue."""
    changes = {}
    for name, kind in _special_fields(type(value)):
        held = getattr(value, name)
        if isinstance(held, Decimal):
            changes[name] = _scaled(held, name, kind)
        elif isinstance(held, datetime):
            changes[name] = _in_utc(held, name)
        elif isinstance(held, int) and not -(2**63) <= held < 2**63:
            raise BadValue(f"Expected a 64-bit integer, got {held}", f"$.{name}")
        elif isinstance(held, str):
            _encodable(held, name)
    return msgspec.structs.replace(value, **changes) if changes else value


def _scaled(held: Decimal, name: str, kind: dict[str, Any]) -> Decimal:
    scale, precision = kind["scale"], kind["precision"]
    try:
        fixed = held.quantize(Decimal(1).scaleb(-scale))
    except InvalidOperation:
        raise BadValue(f"Expected at most {precision} digits, got {held}", f"$.{name}") from None
    if fixed != held:
        raise BadValue(f"Expected at most {scale} decimal places, got {held}", f"$.{name}")
    if len(fixed.as_tuple().digits) > precision:
        raise BadValue(f"Expected at most {precision} digits, got {held}", f"$.{name}")
    return fixed


def _in_utc(held: datetime, name: str) -> datetime:
    if held.tzinfo is None:
        raise BadValue("Expected a time with its offset from UTC", f"$.{name}")
    return held.astimezone(UTC)


def _encodable(held: str, name: str) -> None:
    try:
        held.encode()
    except UnicodeEncodeError:
        raise BadValue("Expected text, got a lone surrogate", f"$.{name}") from None
    if "\0" in held:
        raise BadValue("Expected text without NUL", f"$.{name}")


@lru_cache(maxsize=None)
def _special_fields(cls: type[Event | Command]) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Names of the fields whose value needs a look, with their Avro type (of `T | None`, that of T)."""
    found = []
    for field in schema_of(cls, "any.any")["fields"][1:]:
        kind = field["type"][1] if isinstance(field["type"], list) else field["type"]
        logical = kind.get("logicalType") if isinstance(kind, dict) else kind
        if logical in {"decimal", "timestamp-micros", "long", "string"}:
            found.append((field["name"], kind if isinstance(kind, dict) else {}))
    return tuple(found)


def _bad_value(problem: msgspec.ValidationError) -> BadValue:
    text = str(problem)
    at = _PATH.search(text)
    return BadValue(_PATH.sub("", text), at.group(1) if at else "$")
