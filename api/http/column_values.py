"""Values of columns: text of a client to a checked value, and the placeholder that takes it."""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from uuid import UUID

from psycopg import sql

from refold.api.errors import Fault, FilterInvalid
from refold.api.http.query_request import shown
from refold.projections.serving import ServedColumn
from refold.schemas.exact_text import instant_of

_INTEGERS = {"smallint": 15, "integer": 31, "bigint": 63}
_Number = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
Value = str | int | bool | None


def read_value(column: ServedColumn, text: str) -> Value:
    """A filter's value, checked against the column's type. Raises FilterInvalid."""
    try:
        return _READERS[base_type(column)](text)
    except (ValueError, KeyError, OverflowError):
        message = f"{shown(text)} is no {column.sql_type} ({column.name})"
        raise FilterInvalid(message, Fault(column.name, "filter-invalid", message)) from None


def bound(column: ServedColumn) -> sql.Composable:
    """The type's name comes from the keys of `_READERS`, so no declaration can put SQL here."""
    return sql.SQL("%s::" + base_type(column))


def base_type(column: ServedColumn) -> str:
    """The type's name without its length; one that nothing here reads is compared as text."""
    base = column.sql_type.partition("(")[0].strip().lower()
    return base if base in _READERS else "text"


def _plain(text: str) -> str:
    if "\0" in text:
        raise ValueError
    return text


def _integer(bits: int) -> Callable[[str], Value]:
    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,19}", text, re.ASCII) or not -(2**bits) <= int(text) < 2**bits:
            raise ValueError
        return int(text)

    return read


def _numeric(text: str) -> str:
    if not _Number.fullmatch(text):
        raise ValueError
    return format(Decimal(text), "f")


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text]


_READERS: dict[str, Callable[[str], Value]] = {
    "text": _plain,
    "boolean": _boolean,
    "numeric": _numeric,
    "uuid": lambda text: str(UUID(text)),
    "date": lambda text: date.fromisoformat(text).isoformat(),
    "timestamptz": lambda text: instant_of(text).isoformat(),
    **{name: _integer(bits) for name, bits in _INTEGERS.items()},
}
