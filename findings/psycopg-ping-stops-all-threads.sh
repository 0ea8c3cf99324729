#!/bin/sh
# psycopg: PGconn.ping keeps Python's lock while it waits, so every thread of the process stands still.
#
# The compiled implementation (psycopg-binary) calls libpq's PQping without giving the lock away. A server that takes the connection
# and says nothing, such as a stopped one, holds all threads for `connect_timeout`. The implementation in Python (ctypes) lets them
# run on. What to do: start a connection by connect_start and connect_poll with a bound first, and ping only a server that answers.
# Seen on 2026-11-29 with psycopg[binary]==3.3.9: few turns of another thread in 2 s (binary), more than 50 (python).
set -eu
command -v pg_config >/dev/null || echo "no libpq of the system: the implementation in Python is not compared"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check psycopg[binary]==3.3.9
cat >"$folder/turns.py" <<'PY'
import socket
import threading
import time

from psycopg import pq

with socket.create_server(("127.0.0.1", 0)) as silent:
    url = f"host=127.0.0.1 port={silent.getsockname()[1]} connect_timeout=2"
    asking = threading.Thread(target=pq.PGconn.ping, args=(url.encode(),))
    asking.start()
    turns = 0
    while asking.is_alive():
        time.sleep(0.01)
        turns += 1
print(pq.__impl__, turns)
assert (turns < 20) == (pq.__impl__ == "binary"), turns
PY
"$folder/venv/bin/python" "$folder/turns.py"
if command -v pg_config >/dev/null; then PSYCOPG_IMPL=python "$folder/venv/bin/python" "$folder/turns.py"; fi
