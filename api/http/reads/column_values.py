"""Values of columns: a client's text, checked so that Postgres reads it as exactly that value, and the placeholder that takes it.

Every value is accepted as Postgres prints it, in JSON or as text. Values that Postgres would round are refused here; Postgres itself
refuses the others (a 30th of February) when the statement runs.
"""

import json
import re
from collections.abc import Callable
from datetime import date
from functools import cache
from typing import Any
from uuid import UUID

from psycopg import sql

from refold.api.errors import Fault, FilterInvalid
from refold.api.http.wire.parameters import shown
from refold.projections.declaring.served_types import ServedType, served_type
from refold.projections.tables.serving import ServedColumn
from refold.schemas.exact_text import instant_of

Value = str | None
_INTEGERS = {"smallint": 15, "integer": 31, "bigint": 63}
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,6})?|nan|[+-]?inf(inity)?"
_DAY = r"[0-9]{4,7}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_OFFSET = r"(z|[+-][0-9]{2}(:?[0-9]{2}(:[0-9]{2})?)?)"
_TIMES = {
    "date": rf"{_DAY}( bc)?|-?infinity",
    "time": rf"{_CLOCK}|24:00(:00(\.0{{1,6}})?)?",
    "timetz": rf"({_CLOCK}|24:00(:00(\.0{{1,6}})?)?){_OFFSET}",
    "timestamp": rf"{_DAY}[t ]{_CLOCK}( bc)?|-?infinity",
    "timestamptz": rf"{_DAY}[t ]{_CLOCK}{_OFFSET}( bc)?|-?infinity",
}
_BLANK_OFFSET = re.compile(r"(:[0-9]{2}(?:\.[0-9]+)?) (?=[0-9]{2})")
_TOO_FINE = re.compile(r"\.[0-9]{7}")


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


def bound(column: ServedColumn) -> sql.SQL:
    """The type's name is one of `served_types`, so no declaration can put SQL here."""
    return sql.SQL("%s::" + served_type(column.sql_type).sql)


def shown_as(column: ServedColumn, value: sql.Composable) -> sql.Composable:
    """The column's value as JSON shows it: decimals as text, so that no client reads them as floats."""
    kind = served_type(column.sql_type)
    return sql.SQL("{}::text" + "[]" * kind.array).format(value) if kind.name == "numeric" else value


def _plain(text: str) -> str:
    if "\0" in text:
        raise ValueError
    text.encode()  # half a surrogate pair, which JSON can contain, is a ValueError
    return text


def _integer(bits: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(r"-?[0-9]{1,19}", text, re.ASCII) or not -(2**bits) <= int(text) < 2**bits:
            raise ValueError
        return text

    return read


@cache
def _matching(pattern: str) -> Callable[[str], str]:
    whole = re.compile(pattern, re.ASCII | re.IGNORECASE)

    def read(text: str) -> str:
        if not whole.fullmatch(text):
            raise ValueError
        return text

    return read


def _dated(read: Callable[[str], str]) -> Callable[[str], str]:
    """Check that the calendar has this day; Postgres judges years of more than four digits."""

    def checked(text: str) -> str:
        if re.match(r"[0-9]{4}-", text) and not text.lower().endswith("bc"):
            date.fromisoformat(text[:10])
        return read(text)

    return checked


def _number(text: str) -> str:
    return _matching(_NUMBER)(text.replace("e ", "e+", 1))  # as below


def _with_offset(name: str) -> Callable[[str], str]:
    """Put back a `+` that was not percent-encoded and arrives as a blank: at this place a blank can mean nothing else."""
    read = _matching(_TIMES[name])
    return lambda text: read(_BLANK_OFFSET.sub(r"\1+", text, count=1))


def _instant(text: str) -> str:
    """RFC 3339 as everywhere; other times of Postgres (infinity, before Christ, years beyond 9999) in its own form."""
    if re.match(r"[0-9]{4}-", text) and not text.lower().endswith("bc"):
        return instant_of(_BLANK_OFFSET.sub(r"\1+", text, count=1)).isoformat()
    return _with_offset("timestamptz")(text)


def _interval(text: str) -> str:
    if _TOO_FINE.search(text):
        raise ValueError
    return _plain(text)


def _array(kind: ServedType, text: str) -> str:
    """JSON, as answers print it, or Postgres's own text of an array."""
    if text.startswith("["):
        return _literal(kind, json.loads(text, parse_float=str, parse_int=str, parse_constant=str))
    if not text.startswith("{") or (kind.name not in {"text", "numeric"} and _TOO_FINE.search(text)):
        raise ValueError
    return _plain(text)


def _literal(kind: ServedType, value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return "{" + ",".join(_literal(kind, item) for item in value) + "}"
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - like every other text that is no value
    read = _READERS[kind.name](value)
    return '"' + read.replace("\\", "\\\\").replace('"', '\\"') + '"'


_READERS: dict[str, Callable[[str], str]] = {
    "text": _plain,
    "bpchar": _plain,
    "jsonb": _plain,
    "interval": _interval,
    "boolean": _matching("true|false"),
    **dict.fromkeys(("numeric", "real", "double precision"), _number),
    "uuid": lambda text: str(UUID(text)),
    "bytea": _matching(r"\\x([0-9a-f]{2})*"),
    "date": _dated(_matching(_TIMES["date"])),
    "time": _matching(_TIMES["time"]),
    "timestamp": _dated(_matching(_TIMES["timestamp"])),
    "timetz": _with_offset("timetz"),
    "timestamptz": _instant,
    **{name: _integer(bits) for name, bits in _INTEGERS.items()},
}
