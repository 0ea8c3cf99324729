#!/bin/sh
# Polars: a Series of Python Decimals of unlike places turns a value into null, the dtype given or not.
#
# Decimal('0.00') beside a whole number of 38 digits: the values are first brought to the most places of all, where the large one
# no longer fits, and only then to the dtype that was asked for, which would have held both. What to do: bring the values to one
# scale first, or build the column from texts.
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

large = Decimal("9" * 38)
mixed = pl.Series([Decimal("0.00"), large], dtype=pl.Decimal(38, 0)).to_list()
alike = pl.Series([Decimal("0"), large], dtype=pl.Decimal(38, 0)).to_list()
print("0.00 and a large one:", mixed)
print("0 and a large one:   ", alike)
assert mixed == [0, None]
assert alike == [0, large]
PY
