"""Checks decimals and times written as text: a value is read exactly as written, or refused.

msgspec accepts more than their types allow: `1_000` and ` 1 ` as decimals, and a seventh digit of a second. It rounds
that digit, in the worst case into the next year.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import inspect

from refold.schemas.errors import BadValue

_PLAIN = re.compile(r"[0-9+\-.eE]*")
_PLAIN_JSON = b'0123456789+-.eE"'
_PLAIN_TIME_JSON = b'0123456789+-:.TtZz "'
_FINER = re.compile(r"\.[0-9]{6,}[1-9]")
"""Matches a nonzero digit after the sixth digit of a second."""
_MOST_OF_A_TIME = len('"2026-12-31T23:59:59.999999Z"')
_NULL = b"null"
_LOOSE = frozenset({str, list, tuple})
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_NO_DECIMAL = "Expected a decimal: digits, and a sign, a point or an exponent"
_NO_MICROS = "Expected a time with at most 6 digits of a second (zeros behind them are allowed)"


def instant_of(text: str) -> datetime:
    """A time of RFC 3339, in UTC. Raises ValueError for others, finer ones, and those outside years 1-9999."""
    if _FINER.search(text):
        raise ValueError(_NO_MICROS)
    try:
        return msgspec.convert(text, _Instant).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise ValueError("Expected an RFC 3339 time with its offset, from year 1 to 9999 in UTC") from None


def check(body: bytes, cls: type[msgspec.Struct]) -> None:
    """Check the decimals and times of a body that msgspec accepts as the class. Raises BadValue with the JSON path."""
    parts, fields = _looked_at(cls)
    if parts is None:
        return
    found = msgspec.json.decode(body, type=parts)
    for name, is_time in fields.items():
        raw = bytes(getattr(found, name))
        if not (_is_plain_time(raw) if is_time else raw.translate(None, _PLAIN_JSON) in (b"", _NULL)):
            _check_values(msgspec.json.decode(raw), f"$.{name}", _check_time if is_time else _check_decimal)


def check_fields(fields: Mapping[str, Any], cls: type[msgspec.Struct]) -> None:
    """The same for values that code passed, if a decimal or time is a text. Raises BadValue."""
    for name, is_time in _by_name(cls):
        if fields.get(name).__class__ in _LOOSE:
            _check_values(fields[name], f"$.{name}", _check_time if is_time else _check_decimal)


def _is_plain_time(raw: bytes) -> bool:
    """Whether it has no escapes and is too short for a seventh digit."""
    return raw == _NULL or (len(raw) <= _MOST_OF_A_TIME and not raw.translate(None, _PLAIN_TIME_JSON))


def _check_values(held: Any, path: str, check_one: Callable[[str, str], None]) -> None:
    """Check a text, perhaps with escapes or spaces in its JSON, or a list of texts."""
    if isinstance(held, str):
        check_one(held, path)
    if isinstance(held, list | tuple):
        for place, item in enumerate(held):
            _check_values(item, f"{path}[{place}]", check_one)


def _check_decimal(text: str, path: str) -> None:
    if not _PLAIN.fullmatch(text):
        raise BadValue(_NO_DECIMAL, path)


def _check_time(text: str, path: str) -> None:
    if _FINER.search(text):
        raise BadValue(_NO_MICROS, path)


@cache
def _looked_at(cls: type[msgspec.Struct]) -> tuple[type[msgspec.Struct] | None, dict[str, bool]]:
    """The class's decimals and times as the JSON has them (None if it has none), and which of them are times."""
    found = {f.encode_name: is_time for f in msgspec.structs.fields(cls) if (is_time := _is_time(f.type)) is not None}
    fields: Sequence[tuple[str, Any, Any]] = [(name, msgspec.Raw, msgspec.Raw(_NULL)) for name in found]
    return (msgspec.defstruct(f"TextsOf{cls.__name__}", fields) if found else None), found


@cache
def _by_name(cls: type[msgspec.Struct]) -> tuple[tuple[str, bool], ...]:
    return tuple((f.name, is_time) for f in msgspec.structs.fields(cls) if (is_time := _is_time(f.type)) is not None)


def _is_time(declared: Any) -> bool | None:
    """Whether a field holds times; None if it holds neither times nor decimals."""
    return _kind(inspect.type_info(declared))


def _kind(declared: inspect.Type) -> bool | None:
    match declared:
        case inspect.DecimalType():
            return False
        case inspect.DateTimeType():
            return True
        case inspect.Metadata(type=held) | inspect.VarTupleType(item_type=held) | inspect.ListType(item_type=held):
            return _kind(held)
        case inspect.UnionType(types=types):
            return next((kind for part in types if (kind := _kind(part)) is not None), None)
    return None
