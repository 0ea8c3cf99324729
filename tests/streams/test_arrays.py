"""Tests array literals: Python writes few rows, Polars writes many, and Postgres must read both alike."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import psycopg
import pytest

from refold.streams.postgres import arrays

COLUMNS: list[tuple[str, list[Any], pl.DataType]] = [
    ("bytea", [b"", b'\x00\xff\\"', None], pl.Binary()),
    ("text", ["", 'a"b\\c,{d} NULL', "ü🙂", "NULL", None, "\n\t"], pl.String()),
    ("bigint", [0, -(2**63), 2**63 - 1, None], pl.Int64()),
    ("boolean", [True, False, None], pl.Boolean()),
    ("date", [date(1, 1, 1), date(9999, 12, 31), None], pl.Date()),
    (
        "timestamptz",
        [datetime(2026, 1, 31, 12, 0, 0, 500_000, UTC), datetime(999, 1, 1, tzinfo=UTC), None],
        pl.Datetime("us", "UTC"),
    ),
    ("numeric", [Decimal("0.00"), Decimal("-1234567890.10"), Decimal("0.01"), None], pl.Decimal(38, 2)),
]


def test_a_list_of_bytes_is_written_as_each_would_be(database: str) -> None:
    values = [b"", b'\x00\xff\\"', b"k" * 16]
    assert arrays.literal(values) == arrays.literal(pl.Series(values, dtype=pl.Binary()))
    with psycopg.connect(database) as db:
        assert db.execute("SELECT %s::bytea[]", (arrays.literal(values),)).fetchone() == (values,)


@pytest.mark.parametrize(("kind", "values", "dtype"), COLUMNS, ids=[row[0] for row in COLUMNS])
def test_both_writers_give_postgres_the_same_values(
    kind: str, values: list[Any], dtype: pl.DataType, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    column = pl.Series(values, dtype=dtype)
    by_python = arrays.literal(column)
    monkeypatch.setattr(arrays, "_FEW", 0)
    by_polars = arrays.literal(column)
    with psycopg.connect(database, options="-c timezone=UTC") as db:
        rows = db.execute(f"SELECT %s::{kind}[], %s::{kind}[]", (by_python, by_polars)).fetchone()
    assert rows == (values, values)
