"""The type of a column in Postgres and in Polars, found from an Avro field or a Python type."""

import re
import types
import typing
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl

from refold.projections.errors import BadDeclaration
from refold.schemas.columns import envelope as m

DIGITS = 38
LONG_DIGITS = 19


@dataclass(frozen=True)
class ColumnType:
    """A column's type by its Postgres name, and the Polars type that holds it."""

    sql: str
    dtype: pl.DataType
    digits: int = field(default=0, compare=False)
    """Most digits of a decimal's values, as far as the contract says; 0 if it does not."""

    @property
    def element(self) -> str:
        """The type's name for casts of arrays, without collation and without a precision that would round."""
        return self.sql.partition("(")[0]


TEXT = ColumnType("text", pl.String())
BIGINT = ColumnType("bigint", pl.Int64())
INTEGER = ColumnType("integer", pl.Int32())
BOOLEAN = ColumnType("boolean", pl.Boolean())
TIME = ColumnType("timestamptz", pl.Datetime("us", "UTC"))
DATE = ColumnType("date", pl.Date())
JSONB = ColumnType("jsonb", pl.String())
"""A fold holds it as text of JSON. No expression takes such a value, since its text is not the one of Postgres."""
ENVELOPE_TYPES = {
    m.OCCURRED_AT: TIME,
    m.RECORDED_AT: TIME,
    m.CATEGORY: TEXT,
    m.STREAM: TEXT,
    m.VERSION: BIGINT,
    m.ACTOR: TEXT,
    m.CORRELATION_ID: TEXT,
}
"""The envelope's fields that a declaration may use, with their types. Rejections have one more (`field_types`)."""
_NUMERIC = re.compile(
    r"(?:pg_catalog\.)?(?:numeric|decimal|dec)\b\s*(?:\(\s*(?P<digits>[0-9]{1,9})\s*(?:,\s*(?P<scale>-?[0-9]{1,9})\s*)?\))?.*",
    re.IGNORECASE | re.DOTALL,
)
_AVRO = {"int": INTEGER, "long": BIGINT, "string": TEXT, "boolean": BOOLEAN}
_PYTHON: dict[Any, ColumnType] = {int: BIGINT, str: TEXT, bool: BOOLEAN, datetime: TIME, date: DATE}


def decimal(scale: int, digits: int = DIGITS) -> ColumnType:
    """The type of exact numbers with a fixed scale, so that equal numbers have equal texts."""
    return ColumnType(f"numeric({DIGITS},{scale})", pl.Decimal(DIGITS, scale), digits)


def of_avro(kind: Any, where: str) -> tuple[ColumnType, bool]:
    """The column type of an Avro field, and whether it may be null. Raises BadDeclaration."""
    if isinstance(kind, list):
        others = [part for part in kind if part != "null"]
        if len(others) == 1:
            return of_avro(others[0], where)[0], len(kind) > 1
    if isinstance(kind, str) and kind in _AVRO:
        return _AVRO[kind], False
    if isinstance(kind, dict):
        found = _of_named(kind)
        if found is not None:
            return found, False
    raise BadDeclaration(f"{where}: a column cannot hold {kind!r}")


def _of_named(kind: dict[str, Any]) -> ColumnType | None:
    logical = kind.get("logicalType")
    if logical == "decimal":
        return decimal(int(kind.get("scale", 0)), int(kind["precision"]))
    if logical in {"timestamp-micros", "date"}:
        return TIME if logical == "timestamp-micros" else DATE
    if kind["type"] == "enum":
        return TEXT
    return _AVRO.get(kind["type"])


def places_fault(kind: str) -> str | None:
    """The fault of a view's decimal type without a scale: equal numbers have several texts, and readers see a float."""
    said = _NUMERIC.fullmatch(kind.strip())
    if said is None:
        return None
    digits, scale = int(said["digits"] or 0), int(said["scale"] or 0)
    if 1 <= digits <= DIGITS and 0 <= scale <= digits:
        return None
    return f"{kind!r} has not 1 to {DIGITS} digits and 0 or more places among them; write numeric({DIGITS},2) for two places"


def sum_of(kind: ColumnType, where: str) -> ColumnType:
    """The type of an exact sum of values of a type. Raises BadDeclaration if there is none."""
    if kind in (INTEGER, BIGINT):
        return decimal(0, LONG_DIGITS)
    if isinstance(kind.dtype, pl.Decimal):
        return kind
    raise BadDeclaration(f"{where}: only whole numbers and decimals have a sum, not {kind.sql}")


def of_python(annotation: Any, where: str) -> ColumnType:
    """The column type of a field of an `evolve` state. Raises BadDeclaration."""
    plain, scale = _unwrapped(annotation)
    if plain is Decimal:
        return decimal(scale)
    if plain in _PYTHON:
        return _PYTHON[plain]
    raise BadDeclaration(f"{where}: a column cannot hold {annotation!r}")


def _unwrapped(annotation: Any) -> tuple[Any, int]:
    """The type without null and annotations, and the scale that an annotation such as `Money`'s gives."""
    if typing.get_origin(annotation) is typing.Annotated:
        plain, *notes = typing.get_args(annotation)
        extra = next((n.extra for n in notes if isinstance(n, msgspec.Meta) and n.extra), {})
        inner, scale = _unwrapped(plain)
        return inner, int(extra.get("scale", scale))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        others = [part for part in typing.get_args(annotation) if part is not type(None)]
        if len(others) == 1:
            return _unwrapped(others[0])
    return annotation, 2
