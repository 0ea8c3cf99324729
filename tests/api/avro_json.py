"""Avro's JSON encoding of decoded values: the text that any reader has to print for them."""

from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

from refold.schemas.avro import Schema, resolved
from refold.schemas.catalog import Kind, Writer
from refold.schemas.codec import read_fields

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT = Context(prec=60)


def expected(writer: Writer, value: bytes, *, cut: bool) -> dict[str, Any]:
    """A whole record. `cut`: bytes are printed up to the first zero byte only."""
    head, body = read_fields(writer, value)
    head = {"size": len(value).to_bytes(4), **head}
    held = head if writer.kind in (Kind.CLAIM, Kind.VOIDING) else {"meta": head, **body}
    return _record(writer.schema, held, cut=cut)


def _record(schema: Schema, held: dict[str, Any], *, cut: bool) -> dict[str, Any]:
    return {field["name"]: _plain(field["type"], held[field["name"]], cut=cut) for field in _fields(schema)}


def _fields(schema: Schema) -> list[Schema]:
    """The envelope's named types and the body's are resolved apart: each has its own."""
    first, *rest = schema["fields"]
    return [first, *resolved(rest)] if first["name"] == "meta" else resolved(schema["fields"])


def _plain(kind: Any, held: Any, *, cut: bool) -> Any:
    match kind:
        case ["null", inner]:
            return None if held is None else {_name(inner): _plain(inner, held, cut=cut)}
        case {"type": "record"}:
            return _record(kind, held, cut=cut)
        case {"type": "array", "items": items}:
            return [_plain(items, item, cut=cut) for item in held]
    stored = _stored(kind, held)
    return _text(stored, cut=cut) if isinstance(stored, bytes) else stored


def _stored(kind: Any, held: Any) -> Any:
    """The value without its logical type."""
    match held:
        case Decimal():
            return _twos_complement(int(held.scaleb(kind["scale"], _EXACT)))
        case datetime():
            return (held - _EPOCH) // timedelta(microseconds=1)
        case date():
            return (held - _EPOCH.date()).days
    return held


def _name(kind: Any) -> str:
    """A branch of a union is named by its type, a named type by its own name."""
    return kind if isinstance(kind, str) else kind.get("name", kind["type"])


def _text(held: bytes, *, cut: bool) -> str:
    return (held.partition(b"\0")[0] if cut else held).decode("latin-1")


def _twos_complement(number: int) -> bytes:
    """In as few bytes as hold it."""
    bits = (number if number >= 0 else ~number).bit_length() + 1
    return number.to_bytes((bits + 7) // 8, signed=True)
