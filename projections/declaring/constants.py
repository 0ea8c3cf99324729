"""Checks the constants of conditions against their fields, and converts them to the fields' values.

So both engines compare values of one type, and an ambiguous constant is refused when the model is declared.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from refold.projections.declaring.conditions import Compare
from refold.projections.declaring.expressions import ByEvent
from refold.projections.declaring.field_types import EventType, FieldType, field_type
from refold.projections.declaring.number_types import number_type
from refold.projections.declaring.sql_types import BIGINT, BOOLEAN, DATE, INTEGER, TEXT, TIME, ColumnType
from refold.projections.errors import BadDeclaration
from refold.schemas.arithmetic import at_scale
from refold.schemas.contracts import is_storable

_BITS = {INTEGER: 31, BIGINT: 63}
_LONGEST_NUMBER = 10**100
"""Bound of a number constant.

Errors print constants, and Python refuses to print a whole number of over 4,300 digits.
"""
_WITHOUT_ORDER = "has no order: use eq, ne or is_in"
_NO_NULL = "no value equals None, as in SQL: a condition on a missing field never holds"


class _Unfit(Exception):
    """A constant does not fit its field; the message ends a sentence about the constant."""


def check_texts(where: str, texts: Mapping[str, object]) -> None:
    """Raise BadDeclaration for a description of a model or column that Postgres cannot keep as a comment."""
    for name, text in texts.items():
        if not isinstance(text, str) or not is_storable(text):
            raise BadDeclaration(
                f"{where}: {name} is described by {text!r:.100}, which is no text that Postgres can hold"
            )


def check_units(where: str, units: Mapping[str, str], columns: Iterable[str]) -> None:
    """Raise BadDeclaration for a unit of a column that is not declared, or one that Postgres cannot keep."""
    if unknown := sorted(units.keys() - set(columns)):
        raise BadDeclaration(f"{where}: a unit is given for {', '.join(unknown)}, which is no column of it")
    check_texts(where, {f"the unit of {name}": unit for name, unit in units.items()})


def check_words(where: str, said: ByEvent) -> None:
    """Raise BadDeclaration for a word that no column can hold."""
    for word in dict(said.words).values():
        if not isinstance(word, str) or not is_storable(word):
            raise BadDeclaration(f"{where}: by_event: {word!r} is no text that Postgres can hold")


def constants(kind: EventType, said: Compare, where: str = "") -> tuple[Any, ...]:
    """The constant of a comparison, or those of `in`, as values of the field's type. Raises BadDeclaration."""
    field = field_type(kind, said.field, where)
    several = said.operator == "in"
    given = said.value if several and isinstance(said.value, tuple) else (said.value,)
    if not given:
        raise BadDeclaration(f"{where}: {said.field}: is_in() names no value")
    if said.operator not in {"eq", "ne", "in"} and (field.enum is not None or field.column == BOOLEAN):
        raise BadDeclaration(f"{where}: {said.field} is {field.word}, which {_WITHOUT_ORDER}")
    found = []
    for value in given:
        try:
            found.append(_constant(field, value))
        except _Unfit as problem:
            raise BadDeclaration(f"{where}: {said.field} is {field.word}, and {_shown(value)} {problem}") from None
    return tuple(found)


def field_of(found: ColumnType) -> FieldType:
    """A computed value of a type, as a field: decimals with their digits."""
    number = number_type(found)
    digits, scale = (0, 0) if number is None or number.whole else (number.digits, number.scale)
    return FieldType(found, nullable=True, digits=digits, scale=scale)


def of_type(found: ColumnType, value: Any, where: str, *, comparing: bool = False) -> Any:
    """A constant beside values of a type, as one of theirs. Raises BadDeclaration.

    `comparing`: a decimal may have more places than the values, since it is only compared with them.
    """
    field = field_of(found)
    digits, scale = field.digits, field.scale
    try:
        fitting = _constant(field, value)
    except _Unfit as problem:
        raise BadDeclaration(f"{where}: beside values of type {found.sql} {_shown(value)} {problem}") from None
    if digits and not comparing and (exact := at_scale(fitting, scale)) is not None:
        return exact
    if digits and not comparing:
        raise BadDeclaration(f"{where}: {_shown(value)} has more than the {scale} places of its column")
    return fitting


def refuse_text(text: object, where: str) -> None:
    """Raise BadDeclaration for a constant text that Postgres cannot keep."""
    if not isinstance(text, str) or not is_storable(text):
        raise BadDeclaration(f"{where}: {text!r:.100} is no text that Postgres can hold")


def _shown(value: object) -> str:
    if isinstance(value, int) and abs(value) > _LONGEST_NUMBER:
        return "a number of more than 100 digits"
    return f"{value!r:.100}"


def _constant(field: FieldType, value: Any) -> Any:
    if value is None:
        raise _Unfit(f"is no value: {_NO_NULL}")
    if isinstance(value, list | tuple | set | frozenset):
        raise _Unfit("is several values: write is_in(a, b)")
    if field.enum is not None:
        return _member(field.enum, value)
    plain = value.value if isinstance(value, Enum) else value
    return _decimal(field, plain) if field.digits else _TAKEN[field.column](field, plain)


def _member(enum: type[Enum], value: Any) -> str:
    if isinstance(value, enum):
        return str(value.value)
    words = [member.value for member in enum]
    if isinstance(value, Enum) or value not in words:
        raise _Unfit(f"is none of {', '.join(map(repr, words))}")
    return str(value)


def _whole(field: FieldType, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Unfit("is no whole number")
    if not -(1 << _BITS[field.column]) <= value < 1 << _BITS[field.column]:
        raise _Unfit("is out of its bounds")
    return int(value)


def _decimal(field: FieldType, value: Any) -> Decimal:
    """The number as an exact decimal with any number of places, since a comparison is exact."""
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        raise _Unfit("is no Decimal and no whole number; a float or a text may be another number than it shows")
    exact = Decimal(value)
    if not exact.is_finite():
        raise _Unfit("is no number")
    if exact and exact.adjusted() >= field.digits - field.scale:
        raise _Unfit("is out of its bounds")
    return exact


def _boolean(_: FieldType, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Unfit("is neither True nor False")
    return value


def _text(_: FieldType, value: Any) -> str:
    if not isinstance(value, str):
        raise _Unfit("is no text")
    if not is_storable(value):
        raise _Unfit("is no text that an event can hold")
    return str.__str__(value)


def _time(_: FieldType, value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise _Unfit("is no datetime")
    if value.utcoffset() is None:
        raise _Unfit("says no time zone: write datetime(…, tzinfo=UTC)")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise _Unfit("lies outside of the years 1 to 9999 in UTC") from None


def _date(_: FieldType, value: Any) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _Unfit("is no date")
    return value


_TAKEN: dict[ColumnType, Callable[[FieldType, Any], Any]] = {
    INTEGER: _whole,
    BIGINT: _whole,
    BOOLEAN: _boolean,
    TEXT: _text,
    TIME: _time,
    DATE: _date,
}
