#!/bin/sh
# Polars: the product of two Decimals of scale 2 has scale 2, rounded without a word.
#
# SQL and Python give 1.5625 for 1.25 * 1.25. Polars keeps the scale of its operands, so a price times a rate loses places. What
# to do: cast one operand to a scale that holds the product first.
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

two = pl.Decimal(10, 2)
frame = pl.DataFrame({"price": [Decimal("1.25")], "rate": [Decimal("1.25")]}, schema={"price": two, "rate": two})
plain = frame.select(found=pl.col("price") * pl.col("rate"))
wide = frame.select(found=pl.col("price").cast(pl.Decimal(38, 4)) * pl.col("rate").cast(pl.Decimal(38, 4)))
print("plain", plain["found"][0], plain.schema["found"])
print("cast ", wide["found"][0], wide.schema["found"])
assert plain["found"][0] == Decimal("1.56")
assert wide["found"][0] == Decimal("1.5625")
PY
