#!/bin/sh
# Polars: a grouped sum of Decimals wraps silently, the same sum without a group raises.
#
# Three values of 38 digits have a sum of 39. select(sum) raises ComputeError; group_by().agg(sum) gives a negative number,
# without an error. What to do: bound the values before the sum (rows * largest magnitude < 10^38), or sum in parts that cannot
# overflow.
# Seen on 2026-11-28 with polars==2.1.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from decimal import Decimal

import polars as pl

value = Decimal("999999999999999999999999999999999999.99")
frame = pl.DataFrame({"key": [1] * 3, "value": [value] * 3}, schema={"key": pl.Int64, "value": pl.Decimal(38, 2)})
grouped = frame.group_by("key").agg(pl.col("value").sum())["value"][0]
try:
    alone = str(frame.select(pl.col("value").sum())["value"][0])
except pl.exceptions.ComputeError as problem:
    alone = str(problem).splitlines()[0]
print("exact  ", 3 * int(value.scaleb(2)), "hundredths")
print("grouped", grouped)
print("alone  ", alone)
assert grouped == Decimal("-402823669209384634633746074317682114.59")
assert alone == "overflow in decimal addition in sum"
PY
