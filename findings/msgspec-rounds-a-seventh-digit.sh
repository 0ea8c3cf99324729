#!/bin/sh
# msgspec: a seventh digit of a second is rounded, into the next year if need be.
#
# 23:59:59.9999999 is how .NET prints the end of a day. msgspec reads it as midnight of the next day, datetime.fromisoformat
# (Python 3.11 or newer) drops the digit. RFC 3339 allows any number of digits, a datetime has six. What to do: look at the text
# before it is decoded.
# Seen on 2026-11-28 with msgspec==0.22.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check msgspec==0.22.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from datetime import datetime

import msgspec

text = "2026-12-31T23:59:59.9999999Z"
decoded = msgspec.json.decode(f'"{text}"', type=datetime)
converted = msgspec.convert(text, type=datetime)
python = datetime.fromisoformat(text)
print("msgspec.json.decode", decoded.isoformat())
print("msgspec.convert    ", converted.isoformat())
print("fromisoformat      ", python.isoformat())
assert decoded.isoformat() == converted.isoformat() == "2027-01-01T00:00:00+00:00"
assert python.isoformat() == "2026-12-31T23:59:59.999999+00:00"
PY
