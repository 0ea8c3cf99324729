#!/bin/sh
# librdkafka (confluent-kafka): a question for metadata waits for the whole of its timeout although every address refuses the connection at once.
#
# Nothing listens at the only bootstrap address, so each attempt fails within a millisecond, and the log says so some eighty times. `list_topics(timeout=4)` still
# returns after 4 seconds, with _TRANSPORT, as if the broker were silent; `error_cb` is not called meanwhile. A health check that asks like this cannot tell a broker that is down from
# one that is slow.
# What to do: before asking, open a plain TCP connection to the addresses; if all refuse it, say so at once.
# Seen on 2026-11-28 with confluent-kafka==2.16.1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check confluent-kafka==2.16.1
cd "$folder"
venv/bin/python - <<'PROGRAM' 2>log.txt
import socket
import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]

began = time.monotonic()
try:
    socket.create_connection(("127.0.0.1", port), timeout=4)
except ConnectionRefusedError:
    refused = time.monotonic() - began

told = []
client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "error_cb": told.append})
began = time.monotonic()
try:
    client.list_topics(timeout=4)
except KafkaException as problem:
    waited, name = time.monotonic() - began, problem.args[0].name()
print(f"a connection is refused after {refused:.3f} s; list_topics says {name} after {waited:.1f} s; error_cb was called {len(told)} times")
assert refused < 1
assert name == "_TRANSPORT"
assert 3.9 < waited < 10
assert not told
PROGRAM
echo "lines of the log that say 'Connection refused': $(grep -c 'Connection refused' log.txt)"
test "$(grep -c 'Connection refused' log.txt)" -gt 1
