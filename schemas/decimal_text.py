"""Decimals in JSON are digits of ASCII, a sign, a point and an exponent. msgspec takes all that Python's Decimal takes, `1_000` and ` 1 `, too."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from refold.schemas.errors import BadValue

_PLAIN = re.compile(r"[0-9+\-.eE]*")
_PLAIN_JSON = b'0123456789+-.eE"'
_NULL = b"null"


def check(body: bytes, cls: type[msgspec.Struct]) -> None:
    """Look at the decimals of a body that is one of the class. Raises BadValue with the JSON path."""
    parts = _decimals_of(cls)
    if parts is None:
        return
    found = msgspec.json.decode(body, type=parts)
    for name in parts.__struct_encode_fields__:
        raw = bytes(getattr(found, name))
        if raw.translate(None, _PLAIN_JSON) not in (b"", _NULL):
            _check_values(msgspec.json.decode(raw), f"$.{name}")


def _check_values(held: Any, path: str) -> None:
    """A text with escapes or spaces, or a list of decimals."""
    if isinstance(held, str) and not _PLAIN.fullmatch(held):
        raise BadValue("Expected a decimal: digits, and a sign, a point or an exponent", path)
    if isinstance(held, list):
        for place, item in enumerate(held):
            _check_values(item, f"{path}[{place}]")


@cache
def _decimals_of(cls: type[msgspec.Struct]) -> type[msgspec.Struct] | None:
    """The decimals of a class as they stand in the JSON; None where it has none."""
    names = [f.encode_name for f in msgspec.structs.fields(cls) if _holds_decimals(inspect.type_info(f.type))]
    fields: Sequence[tuple[str, Any, Any]] = [(name, msgspec.Raw, msgspec.Raw(_NULL)) for name in names]
    return msgspec.defstruct(f"DecimalsOf{cls.__name__}", fields) if names else None


def _holds_decimals(declared: inspect.Type) -> bool:
    match declared:
        case inspect.DecimalType():
            return True
        case inspect.Metadata(type=held) | inspect.VarTupleType(item_type=held) | inspect.ListType(item_type=held):
            return _holds_decimals(held)
        case inspect.UnionType(types=types):
            return any(map(_holds_decimals, types))
    return False
