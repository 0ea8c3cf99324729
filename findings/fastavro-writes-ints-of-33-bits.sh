#!/bin/sh
# fastavro: an Avro int of more than 32 bits is written, and read again, without an error.
#
# Avro's int has 32 bits. fastavro's schemaless writer takes 2**33 for it; Apache's Python package refuses the value when it
# writes. What to do: check the range before writing, or call fastavro's validate first.
# Seen on 2026-11-28 with fastavro==1.13.1 avro==1.12.2.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fastavro==1.13.1 avro==1.12.2
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import io

import avro.errors
import avro.io
import avro.schema
import fastavro

value, out = 2**33, io.BytesIO()
fastavro.schemaless_writer(out, fastavro.parse_schema("int"), value)
again = fastavro.schemaless_reader(io.BytesIO(out.getvalue()), "int", None)
try:
    avro.io.DatumWriter(avro.schema.parse('"int"')).write(value, avro.io.BinaryEncoder(io.BytesIO()))
    apache = "taken"
except avro.errors.AvroTypeException:
    apache = "AvroTypeException"
valid = fastavro.validate(value, "int", raise_errors=False)
print("fastavro reads back", again)
print("fastavro.validate  ", valid)
print("avro, when writing ", apache)
assert again == value
assert valid is False
assert apache == "AvroTypeException"
PY
