"""Values of columns: a client's text, checked so that Postgres reads it as exactly that value.

Every value is accepted as Postgres reads it, so also as an answer prints it. Values that Postgres would round are refused here; Postgres
itself refuses the others (a 30th of February) when the statement runs.
"""

import json
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from refold.api.errors import Fault, FilterInvalid
from refold.api.http.wire.parameters import shown
from refold.projections.declaring.served_types import ServedType, served_type
from refold.projections.tables.serving import ServedColumn
from refold.schemas.exact_text import instant_of
from refold.streams.postgres.arrays import quoted_text

Value = str | None
_INTEGERS = {"smallint": 15, "integer": 31, "bigint": 63}
_DIGITS = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)
_WHOLE = re.compile(r" *[+-]?(0[xob])?[0-9a-f_]+ *", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(
    r" *([+-]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)(e[+-]?[0-9]{1,6})?|nan|[+-]?inf(inity)?) *", re.ASCII | re.IGNORECASE
)
_BOOLEAN = re.compile(r" *(t(r(u(e)?)?)?|y(es?)?|on|1|f(a(l(s(e)?)?)?)?|no?|off?|0) *", re.ASCII | re.IGNORECASE)
_UUID = re.compile(r"\{?[0-9a-f]{4}(-?[0-9a-f]{4}){7}\}?", re.ASCII | re.IGNORECASE)
_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_OFFSET = r"(z|[+-][0-9]{2}(:?[0-9]{2}(:[0-9]{2})?)?)"
_FULL_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[tT ][0-9:.]+([zZ]|[+-][0-9]{2}:[0-9]{2})")
_CLOCK_READ = re.compile(rf"({_CLOCK}|24:00(:00(\.0{{1,6}})?)?)({_OFFSET})?", re.ASCII | re.IGNORECASE)
_HEX = re.compile(r"\\x([0-9a-f]{2})*", re.ASCII | re.IGNORECASE)
_BLANK_OFFSET = re.compile(r"(:[0-9]{2}(?:\.[0-9]+)?) (?=[0-9]{2})")
_TOO_FINE = re.compile(r"\.[0-9]{7}|:60")
_TIMES = frozenset({"time", "timetz", "timestamp", "timestamptz", "interval"})


def read_value(column: ServedColumn, text: str) -> str:
    """A filter's value as text for `bound`. Raises FilterInvalid."""
    kind = served_type(column.sql_type)
    try:
        return _array(kind, text) if kind.array else _READERS[kind.name](text)
    except (ValueError, OverflowError, RecursionError):
        raise not_of(column, text) from None


def not_of(column: ServedColumn, text: str) -> FilterInvalid:
    """The error for a text that is no value of the column."""
    message = f"{shown(text)} is no {column.sql_type} ({column.name})"
    return FilterInvalid(message, Fault(column.name, "filter-invalid", message))


def array_of(column: ServedColumn, elements: Sequence[str]) -> str:
    """The elements of a list as Postgres's text of an array. Raises FilterInvalid."""
    return "{" + ",".join(quoted_text(read_value(column, element)) for element in elements) + "}"


def plain(text: str) -> str:
    """The text, if Postgres can hold it. Raises ValueError."""
    if "\0" in text:
        raise ValueError
    text.encode()  # half a surrogate pair, which JSON can contain, is a ValueError
    return text


def _like(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError
        return text

    return read


def _integer(bits: int) -> Callable[[str], str]:
    """A whole number as Postgres writes one, with or without a sign; of its other forms Postgres judges itself."""

    def read(text: str) -> str:
        if _DIGITS.fullmatch(text) and not -(2**bits) <= int(text) < 2**bits:
            raise ValueError
        return _like(_WHOLE)(text)

    return read


def _number(text: str) -> str:
    return _like(_NUMBER)(text.replace("e ", "e+", 1))  # as below


def _day(text: str) -> str:
    """A day that the calendar has, without a time of day, which Postgres would drop."""
    if ":" in text:
        raise ValueError
    if _ISO_DAY.fullmatch(text):
        date.fromisoformat(text)
    return plain(text)


def _exact(text: str) -> str:
    """A time whose fraction Postgres does not round."""
    if _TOO_FINE.search(text):
        raise ValueError
    return plain(text)


def _clock(text: str) -> str:
    """A time of day, which has no words and no date. A blank before an offset is a `+` that was not percent-encoded."""
    found = _BLANK_OFFSET.sub(r"\1+", text, count=1)
    if not _CLOCK_READ.fullmatch(found):
        raise ValueError
    return found


def _instant(text: str) -> str:
    """RFC 3339 as everywhere; whatever else Postgres reads as a time (a day, no offset, infinity, before Christ) in its own way."""
    whole = _BLANK_OFFSET.sub(r"\1+", text, count=1)
    if _FULL_INSTANT.fullmatch(whole):
        return instant_of(whole).isoformat()
    return _exact(whole)


def _array(kind: ServedType, text: str) -> str:
    """JSON, as answers print it, or Postgres's own text of an array."""
    if text.startswith("["):
        return _literal(kind, json.loads(text, parse_float=str, parse_int=str, parse_constant=str))
    if not text.startswith("{") or (kind.name in _TIMES and _TOO_FINE.search(text)):
        raise ValueError
    return plain(text)


def _literal(kind: ServedType, value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return "{" + ",".join(_literal(kind, item) for item in value) + "}"
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - like every other text that is no value
    return quoted_text(_READERS[kind.name](value))


_READERS: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(("text", "bpchar", "jsonb"), plain),
    **{name: _integer(bits) for name, bits in _INTEGERS.items()},
    **dict.fromkeys(("numeric", "real", "double precision"), _number),
    "boolean": _like(_BOOLEAN),
    "uuid": _like(_UUID),
    "interval": _exact,
    "timestamp": _exact,
    "timestamptz": _instant,
    "date": _day,
    "time": _clock,
    "timetz": _clock,
    "bytea": _like(_HEX),
}
