#!/bin/sh
# Polars: what write_ndjson writes of a Decimal column, read_ndjson cannot read as Decimal.
#
# It writes a Decimal as a text (which is exact and right) and refuses that text when the same schema is given for reading. What
# to do: read the column as String and cast it.
# Seen on 2026-11-28 with polars==2.1.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import io
from decimal import Decimal

import polars as pl

schema = {"price": pl.Decimal(10, 2)}
text = pl.DataFrame({"price": [Decimal("3.30")]}, schema=schema).write_ndjson()
try:
    read = str(pl.read_ndjson(io.StringIO(text), schema=schema)["price"][0])
except pl.exceptions.SchemaError as problem:
    read = str(problem).splitlines()[0]
cast = pl.read_ndjson(io.StringIO(text), schema={"price": pl.String}).with_columns(pl.col("price").cast(pl.Decimal(10, 2)))
print("written", text.strip())
print("read   ", read)
print("cast   ", cast["price"][0])
assert text.strip() == '{"price":"3.30"}'
assert read.startswith("unexpected value while building Series of type Decimal(10, 2)")
assert cast["price"][0] == Decimal("3.30")
PY
