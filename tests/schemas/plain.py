"""Values of records as JSON has them, and back: how the golden files say what their bytes mean."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

_FORMS: dict[type, Callable[[Any], Any]] = {
    bytes: bytes.hex,
    UUID: lambda value: value.bytes.hex(),
    datetime: datetime.isoformat,
    date: date.isoformat,
    Decimal: str,
    list: lambda value: [to_plain(item) for item in value],
    tuple: lambda value: [to_plain(item) for item in value],
    dict: lambda value: {name: to_plain(item) for name, item in value.items()},
}
_LOGICAL: dict[str, Callable[[str], Any]] = {
    "timestamp-micros": datetime.fromisoformat,
    "date": date.fromisoformat,
    "decimal": Decimal,
}


def to_plain(value: Any) -> Any:
    """A decoded value as JSON has it."""
    form = _FORMS.get(type(value))
    return value if form is None else form(value)


def from_plain(kind: Any, plain: Any) -> Any:
    """The value of an Avro type from its JSON."""
    match kind:
        case ["null", inner]:
            return None if plain is None else from_plain(inner, plain)
        case {"type": "fixed"}:
            return bytes.fromhex(plain)
        case {"type": "array", "items": items}:
            return [from_plain(items, item) for item in plain]
        case {"logicalType": logical}:
            return _LOGICAL[logical](plain)
    return plain
