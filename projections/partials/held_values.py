"""What a column of an evolved row holds of a value: the value as it reads back, or a refusal. Pure."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from refold.projections.declaring.sql_types import DIGITS
from refold.projections.errors import EventFailed
from refold.projections.tables.layout import Stored
from refold.schemas.arithmetic import EXACT, at_scale

Sound = Callable[[Any], bool]
"""True only if a value is, as it stands, what its column reads back. `checked` decides about all others."""
_NO_OFFSET = timedelta(0)
_LEAST, _MOST = -(2**63), 2**63 - 1


def sound_of(part: Stored) -> Sound:
    """The quick check of a column's values."""
    dtype = part.type.dtype
    if isinstance(dtype, pl.Decimal):
        return _sound_decimal(dtype.scale)
    kind = dtype.to_python()
    if kind is int:
        return lambda value: type(value) is int and _LEAST <= value <= _MOST
    if kind is str:
        return lambda value: type(value) is str and value.isascii() and "\0" not in value
    if kind is datetime:
        return lambda value: type(value) is datetime and value.tzinfo is UTC
    return lambda value: type(value) is kind and _fits(value)


def _sound_decimal(scale: int) -> Sound:
    quantum = EXACT.scaleb(Decimal(1), -scale)
    limit = EXACT.scaleb(Decimal(1), DIGITS - scale)
    least = limit.copy_negate()

    def sound(value: Any) -> bool:
        return (
            type(value) is Decimal
            and value.same_quantum(quantum)
            and least < value < limit
            and (bool(value) or not value.is_signed())
        )

    return sound


def checked(part: Stored, value: Any) -> Any:
    """The value as the column holds it. Raises EventFailed if the column cannot hold it."""
    if value is None:
        return None
    if type(value) is part.type.dtype.to_python():
        match value:
            case Decimal():
                fixed = _decimal(part, value)
                if fixed is not None:
                    return fixed
            case datetime():
                if value.utcoffset() == _NO_OFFSET:
                    return value if value.tzinfo is UTC else value.astimezone(UTC)
            case _ if _fits(value):
                return value
    raise EventFailed(0, f"{part.name} cannot hold {value!r:.100}")


def _fits(value: Any) -> bool:
    match value:
        case bool() | date():
            return True
        case int():
            return _LEAST <= value <= _MOST
        case str():
            return _encodes(value)
    return False


def _encodes(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _decimal(part: Stored, value: Decimal) -> Decimal | None:
    """The decimal at the column's scale: equal numbers have equal texts, and Polars loses digits of other scales."""
    dtype = part.type.dtype
    assert isinstance(dtype, pl.Decimal)
    fixed = at_scale(value, dtype.scale)
    if fixed is None or len(fixed.as_tuple().digits) > DIGITS:
        return None
    return value if fixed.compare_total(value) == 0 else fixed
