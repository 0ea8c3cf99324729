#!/bin/sh
# polars: within a group a constant counts once, not once a row, so a query translated from SQL gives other numbers.
#
# SUM(3) over a group of three rows is 9 in SQL, and COUNT of a condition that reads no column is 3. In polars a constant has one value in each group,
# whatever the group's size. An expression that is a constant for some inputs only (a word that depends on the kind of event, a default) then counts right or
# wrong by what it was made of. The same constant as a column of the frame counts once a row.
# What to do: make it a column of the frame before it is aggregated.
# Seen on 2026-11-29 with polars==2.1.0 duckdb==2.0.1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 duckdb==2.0.1 pyarrow
"$folder/venv/bin/python" - <<'PROGRAM'
import duckdb
import polars as pl

rows = pl.DataFrame({"shop": ["a", "a", "a", "b"]})
three, holds = pl.lit(3), pl.lit("paid") == "paid"

grouped = rows.group_by("shop").agg(three.sum().alias("threes"), holds.sum().alias("paid")).sort("shop").rows()
print("polars, constants:", grouped)
assert grouped == [("a", 3, 1), ("b", 3, 1)]

filled = rows.with_columns(three.alias("three"), holds.alias("holds"))
by_column = filled.group_by("shop").agg(pl.col("three").sum(), pl.col("holds").sum()).sort("shop").rows()
print("polars, the same as columns:", by_column)
assert by_column == [("a", 9, 3), ("b", 3, 1)]

by_sql = duckdb.sql(
    "SELECT shop, sum(3)::int, count(*) FILTER ('paid' = 'paid') FROM rows GROUP BY shop ORDER BY shop"
).fetchall()
print("SQL:", by_sql)
assert by_sql == [("a", 9, 3), ("b", 3, 1)]
PROGRAM
