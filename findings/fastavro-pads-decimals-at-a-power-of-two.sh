#!/bin/sh
# fastavro and avro: the decimals -128, -32768 and so on are written with one byte more than they need.
#
# An Avro decimal is a two's-complement number. Both Python packages count the bits of the absolute value and add one for the sign,
# so a number that just fits (-2^7, -2^15, -2^63 ...) gets a leading 0xff. Writers that take the least number of bytes, as Java's
# BigInteger.toByteArray is documented to do, write it shorter. Every reader reads the same number, but the records differ in
# bytes: hashes and golden files of one writer fail against the other.
# What to do: compare decoded values, or encode with int.to_bytes and the least length.
# Seen on 2026-11-28 with fastavro==1.13.1 avro==1.12.2.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fastavro==1.13.1 avro==1.12.2
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import io
import json
from decimal import Decimal

import avro.io
import avro.schema
import fastavro

schema = {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 0}
ours, theirs = fastavro.parse_schema(schema), avro.schema.parse(json.dumps(schema))


def by_fastavro(value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, ours, Decimal(value))
    assert fastavro.schemaless_reader(io.BytesIO(out.getvalue()), ours, None) == value
    return out.getvalue().hex()


def by_apache(value):
    out = io.BytesIO()
    avro.io.DatumWriter(theirs).write(Decimal(value), avro.io.BinaryEncoder(out))
    return out.getvalue().hex()


def least(value):
    size = next(n for n in range(1, 9) if -(1 << 8 * n - 1) <= value < 1 << 8 * n - 1)
    return bytes([2 * size]).hex() + value.to_bytes(size, "big", signed=True).hex()


print("value   fastavro    avro        least")
seen = {value: (by_fastavro(value), by_apache(value), least(value)) for value in (-127, -128, -129, -32768)}
for value, (first, second, third) in seen.items():
    print(f"{value:<7} {first:<11} {second:<11} {third}")
assert set(seen[-127]) == {"0281"}
assert set(seen[-129]) == {"04ff7f"}
assert seen[-128] == ("04ff80", "04ff80", "0280")
assert seen[-32768] == ("06ff8000", "06ff8000", "048000")
PY
