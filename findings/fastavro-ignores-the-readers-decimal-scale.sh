#!/bin/sh
# fastavro: a reader's decimal of another scale is accepted, and its scale ignored.
#
# By the Avro specification two decimal schemas match only if scale and precision match. fastavro reads 1.25 (scale 2) through a
# reader's schema of scale 4 and gives 1.25 with two places, neither an error nor four places. What to do: compare logical types
# before schemas are resolved.
# Seen on 2026-11-28 with fastavro==1.13.1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fastavro==1.13.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import io
from decimal import Decimal

import fastavro


def money(scale):
    return fastavro.parse_schema({"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": scale})


out = io.BytesIO()
fastavro.schemaless_writer(out, money(2), Decimal("1.25"))
read = fastavro.schemaless_reader(io.BytesIO(out.getvalue()), money(2), money(4))
print("read through scale 4:", read, "with", -read.as_tuple().exponent, "places")
assert (read, read.as_tuple().exponent) == (Decimal("1.25"), -2)
PY
