#!/bin/sh
# DuckDB: a JSON number becomes a DECIMAL by way of a double.
#
# read_json with columns={x: 'DECIMAL(38,2)'} gives 12345678901234567.68 for 12345678901234567.89. The same digits as a JSON text
# are exact. What to do: write exact numbers as texts in JSON.
# Seen on 2026-11-28 with duckdb==1.5.5.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==1.5.5
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from decimal import Decimal
from pathlib import Path

import duckdb


def read(line):
    Path("rows.ndjson").write_text(line + "\n")
    return duckdb.sql("SELECT x FROM read_json('rows.ndjson', columns={x: 'DECIMAL(38,2)'})").fetchall()[0][0]


number, text = read('{"x": 12345678901234567.89}'), read('{"x": "12345678901234567.89"}')
print("as a number", number)
print("as a text  ", text)
assert number == Decimal("12345678901234567.68")
assert text == Decimal("12345678901234567.89")
PY
