"""All fields of an event as JSON, by rows and by columns: the same value, if not the same text. Postgres keeps the value.

Decimals are texts with all places of their scale. Times are texts in UTC, as the streams' events are printed.
"""

from collections.abc import Callable
from datetime import UTC
from typing import Any

import msgspec
import polars as pl

from refold.projections.declaring.field_types import EventType, avro_fields
from refold.schemas.columns import envelope as m

Said = Callable[[Any], Any]
_TIME, _NO_MICROS = "%Y-%m-%dT%H:%M:%S%.6fZ", ".000000Z"


def by_row(kind: EventType) -> Callable[[dict[str, Any]], str]:
    """The payload of one event."""
    said = [(name, _value(avro)) for name, avro in avro_fields(kind).items()]
    encode = msgspec.json.Encoder().encode
    return lambda event: encode({name: value(event[name]) for name, value in said}).decode()


def by_columns(kind: EventType) -> pl.Expr:
    """The payload of each event of a frame."""
    parts = [_column(pl.col(name), avro).alias(name) for name, avro in avro_fields(kind).items()]
    if not parts:  # a struct without fields has no JSON
        return pl.when(pl.col(m.OCCURRED_AT).is_not_null()).then(pl.lit("{}"))
    return pl.struct(parts).struct.json_encode()


def holds_texts(dtype: Any) -> bool:
    """Whether a column holds texts, perhaps in lists."""
    return holds_texts(dtype.inner) if isinstance(dtype, pl.List) else bool(dtype == pl.String)


def has_nul(texts: pl.Expr, dtype: Any) -> pl.Expr:
    """Whether a text, or one of a list, has a NUL, which no text of Postgres has, nor one in its JSON."""
    if isinstance(dtype, pl.List):
        return texts.list.eval(has_nul(pl.element(), dtype.inner)).list.any().fill_null(value=False)
    return texts.str.contains("\0", literal=True).fill_null(value=False)


def _value(avro: Any) -> Said:
    if isinstance(avro, list):
        plain = _value(_not_null(avro))
        return lambda value: None if value is None else plain(value)
    match _logical(avro):
        case "decimal":
            places = f".{avro['scale']}f"
            return lambda value: format(value, places)
        case "timestamp-micros":
            return lambda value: value.astimezone(UTC)
        case "array":
            item = _value(avro["items"])
            return lambda value: [item(one) for one in value]
    return lambda value: value


def _column(values: pl.Expr, avro: Any) -> pl.Expr:
    avro = _not_null(avro) if isinstance(avro, list) else avro
    match _logical(avro):
        case "decimal":
            return values.cast(pl.String)
        case "timestamp-micros":
            return values.dt.strftime(_TIME).str.replace(_NO_MICROS, "Z", literal=True)
        case "date":
            return values.dt.strftime("%Y-%m-%d")
        case "array":
            return values.list.eval(_column(pl.element(), avro["items"]))
    return values


def _not_null(avro: list[Any]) -> Any:
    return next(part for part in avro if part != "null")


def _logical(avro: Any) -> str:
    return avro if isinstance(avro, str) else str(avro.get("logicalType", avro["type"]))
