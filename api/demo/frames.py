"""Compares read models with frames of an oracle: every row in every column, and money to the cent."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import polars as pl
from rich.console import Console

from refold.api.demo.analyst import show
from refold.api.demo.check import Difference
from refold.api.demo.client import Client

MONEY = ("amount", "discount", "revenue")
"""Columns of money: dollars in an answer, whole cents in a frame."""
_SHOWN = 20


@dataclass(frozen=True)
class CheckedModel:
    """A read model whose rows were compared. `differences` tells some of the rows that differ."""

    name: str
    rows: int
    differing: int
    differences: list[Difference]


def rows_like(wanted: pl.DataFrame, client: Client, path: str) -> pl.DataFrame:
    """Every row at a path, with the columns and types of a frame."""
    names = ",".join(wanted.columns)
    text = client.download(f"{path}{'&' if '?' in path else '?'}select={names}&format=csv")
    found = pl.read_csv(BytesIO(text), infer_schema=False)
    return found.select(_read(name, dtype) for name, dtype in wanted.schema.items())


def compare(name: str, key: Sequence[str], wanted: pl.DataFrame, found: pl.DataFrame) -> CheckedModel:
    """Compare frames of the same columns, whose rows `key` tells apart."""
    columns = wanted.columns
    missing = wanted.join(found, on=columns, how="anti", nulls_equal=True)
    surplus = found.join(wanted, on=columns, how="anti", nulls_equal=True)
    sides = missing.join(surplus, on=key, how="full", nulls_equal=True, coalesce=True, suffix=" found")
    differences = [
        Difference(f"{name} {', '.join(str(row[part]) for part in key)}: {column}", row[column], row[f"{column} found"])
        for row in sides.sort(key).head(_SHOWN).iter_rows(named=True)
        for column in columns
        if column not in key and row[column] != row[f"{column} found"]
    ]
    differing = sides.height
    if not differing and wanted.height != found.height:
        differing = abs(found.height - wanted.height)
        differences = [Difference(f"{name}: number of rows", wanted.height, found.height)]
    return CheckedModel(name, found.height, differing, differences)


def report(checked: Sequence[CheckedModel], out: Console) -> None:
    """Show how many rows of each model were compared, and what differs."""
    rows = [{"read model": one.name, "rows compared": f"{one.rows:,}", "differing": one.differing} for one in checked]
    show(out, "Rows compared with the Parquet in every column", rows)
    if differences := [vars(found) for one in checked for found in one.differences]:
        show(out, "Some of the differences", differences[:_SHOWN])


def _read(name: str, dtype: pl.DataType) -> pl.Expr:
    text = pl.col(name)
    if name in MONEY:
        return text.cast(pl.Decimal(38, 2)).to_physical().cast(dtype)
    if dtype == pl.Date:
        return text.str.to_date("%Y-%m-%d")
    if isinstance(dtype, pl.Datetime):
        return text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%#z", time_unit="us", time_zone="UTC")
    return text.cast(dtype)
