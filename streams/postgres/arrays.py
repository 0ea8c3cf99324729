"""Writes columns as Postgres array literals, by Polars: one parameter per column, however many rows."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

_FEW = 64
"""Rows below which plain Python is used: a Polars expression costs some 300 us before its first row."""


def literal(column: pl.Series | Sequence[Any]) -> str:
    """The text of a Postgres array (`{1,2,NULL}`) of numbers, texts, times, booleans, decimals or binaries."""
    if not len(column):
        return "{}"
    if not isinstance(column, pl.Series):
        return _of_bytes(column) if set(map(type, column)) == {bytes} else "{" + ",".join(map(_element, column)) + "}"
    if len(column) <= _FEW and not column.dtype.is_float():
        return "{" + ",".join(map(_element, column.to_list())) + "}"
    texts = column.alias("c").to_frame().select(_text(column.dtype)).to_series()
    return "{" + str(texts.fill_null("NULL").str.join(",").item()) + "}"


def _text(dtype: pl.DataType) -> pl.Expr:
    value = pl.col("c")
    if dtype == pl.Binary:
        return _quoted(pl.lit("\\\\x") + value.bin.encode("hex"))
    if dtype == pl.String:
        return _quoted(value.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True))
    if isinstance(dtype, pl.Datetime):
        return _quoted(value.dt.strftime("%Y-%m-%d %H:%M:%S%.6f+00"))
    return value.cast(pl.String)


def _quoted(text: pl.Expr) -> pl.Expr:
    return pl.lit('"') + text + pl.lit('"')


def _of_bytes(values: Sequence[bytes]) -> str:
    """Keys and states, the bulk of a chunk's writes. A call for each would take three times as long."""
    return '{"\\\\x' + '","\\\\x'.join([value.hex() for value in values]) + '"}'


def _element(value: object) -> str:
    """One value as `_text` writes it, or in a form that Postgres reads alike."""
    return _WRITERS.get(type(value), str)(value)


def quoted_text(text: str) -> str:
    """A text as an element of an array."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_WRITERS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    bytes: lambda value: f'"\\\\x{value.hex()}"',
    str: quoted_text,
    bool: lambda value: "true" if value else "false",
    Decimal: lambda value: format(value, "f"),
    datetime: lambda value: f'"{value.isoformat(sep=" ")}"',
}
