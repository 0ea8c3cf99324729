"""Columns as Postgres array literals, written by Polars: one parameter a column, whatever the number of rows."""

import polars as pl


def literal(column: pl.Series) -> str:
    """The text of a Postgres array (`{1,2,NULL}`) of numbers, texts, times, booleans, decimals or binaries."""
    if not len(column):
        return "{}"
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
