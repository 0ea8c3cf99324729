#!/bin/sh
# msgspec: a datetime whose zone offset has seconds is written as another moment.
#
# Monrovia's clocks were 44 minutes and 30 seconds behind until 1972. msgspec writes -00:44 (RFC 3339 has no seconds there), so
# the moment that is read back is 30 seconds off; datetime.isoformat() keeps them. What to do: convert to UTC before writing.
# Seen on 2026-11-28 with msgspec==0.22.0 tzdata.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check msgspec==0.22.0 tzdata
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

before = datetime(1970, 1, 1, tzinfo=ZoneInfo("Africa/Monrovia"))
text = msgspec.json.encode(before)
after = msgspec.json.decode(text, type=datetime)
print("isoformat", before.isoformat())
print("msgspec  ", text.decode())
print("off by   ", (before - after).total_seconds(), "s; by way of UTC:", msgspec.json.encode(before.astimezone(UTC)).decode())
assert before.isoformat() == "1970-01-01T00:00:00-00:44:30"
assert abs((before - after).total_seconds()) == 30
PY
