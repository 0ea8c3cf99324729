#!/bin/sh
# DuckDB: the median of DECIMALs is a DECIMAL by type and a double by value.
#
# Of ...67.89 and ...67.91 the median is ...67.90; DuckDB says ...67.68, which lies below both, with the type DECIMAL(38,2).
# quantile_disc is exact. What to do: quantile_disc, or the mean of two of them in DECIMAL.
# Seen on 2026-11-28 with duckdb==1.5.5.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==1.5.5
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from decimal import Decimal

import duckdb

values = "(VALUES (12345678901234567.89::DECIMAL(38,2)), (12345678901234567.91::DECIMAL(38,2))) AS t(x)"
median, kind, discrete = duckdb.sql(f"SELECT median(x), typeof(median(x)), quantile_disc(x, 0.5) FROM {values}").fetchall()[0]
print("median       ", median, kind)
print("quantile_disc", discrete)
assert (median, kind) == (Decimal("12345678901234567.68"), "DECIMAL(38,2)")
assert discrete == Decimal("12345678901234567.89")
PY
