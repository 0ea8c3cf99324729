"""The columns of a statement's rows, with the types and scales that Postgres itself gives them."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.postgres import types

MOST_DIGITS = 38
"""Digits of Arrow's decimal128. No reader of decimal256 can be relied on: one reads other numbers, one refuses the file."""


@dataclass(frozen=True)
class Column:
    """A column under the name that readers see.

    `kind`: Postgres's name of the type, of an array the element's; `scale`: places of a decimal, None if its type has none or too many digits;
    `required`: whether it is never null.
    """

    name: str
    kind: str
    array: bool = False
    precision: int | None = None
    scale: int | None = None
    required: bool = False


def described(found: Sequence[psycopg.Column], required: Sequence[bool]) -> tuple[Column, ...]:
    """The columns of a cursor's description; `required`: which of them are never null, empty if that is not known."""
    return tuple(_column(one, known) for one, known in zip(found, required or [False] * len(found), strict=True))


def place(number: int) -> sql.Identifier:
    """The name of a column within our statement. Names of columns need not differ; authors' names have no upper case letter."""
    return sql.Identifier(f"_C{number}")


def _column(found: psycopg.Column, required: bool) -> Column:  # noqa: FBT001 - of a zip
    info = types.get(found.type_code)
    kind = "unknown" if info is None else info.name
    array = info is not None and found.type_code == info.array_oid
    precision, scale = (found.precision, found.scale) if kind == "numeric" else (None, None)
    if precision is None or scale is None or not 0 <= scale <= precision <= MOST_DIGITS:
        precision = scale = None
    return Column(found.name, kind, array, precision, scale, required)
