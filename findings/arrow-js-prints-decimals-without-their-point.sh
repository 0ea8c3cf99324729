#!/bin/sh
# Arrow for JavaScript: decimals are printed without their point, and 64-bit and 256-bit ones as other numbers.
#
# 3.30 of decimal128(10, 2) prints as 330; -3.30 of decimal64 as 18446744073709551286; 3.30 of decimal256 as 0. The bytes are
# right (pyarrow reads them), the value's toString is not. What to do: send decimals to JavaScript as texts, or divide by the
# scale of the field's type yourself.
# Seen on 2026-11-28 with apache-arrow 21.2.0 (npm), pyarrow 26.0.1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund apache-arrow@21.2.0 >/dev/null
"$folder/venv/bin/python" - <<'PY'
from decimal import Decimal

import pyarrow as pa

plus, minus = Decimal("3.30"), Decimal("-3.30")
table = pa.table(
    {
        "d128": pa.array([plus], pa.decimal128(10, 2)),
        "d64": pa.array([minus], pa.decimal64(10, 2)),
        "d256": pa.array([plus], pa.decimal256(50, 2)),
    }
)
with pa.ipc.new_stream("table.arrow", table.schema) as stream:
    stream.write_table(table)
print("pyarrow   ", [str(value) for value in pa.ipc.open_stream("table.arrow").read_all().to_pylist()[0].values()])
PY
cat > read.cjs <<'JS'
const { readFileSync } = require("fs");
const { tableFromIPC } = require("apache-arrow");
const table = tableFromIPC(readFileSync("table.arrow"));
console.log(table.schema.fields.map((field) => String(table.get(0)[field.name])).join(" "));
JS
seen=$(node read.cjs)
echo "JavaScript $seen"
[ "$seen" = "330 18446744073709551286 0" ]
