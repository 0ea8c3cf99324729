#!/bin/sh
# librdkafka: with sasl.oauthbearer.method=oidc the client's id and secret go into the Basic header as they are.
#
# RFC 6749, section 2.3.1, has both form-encoded before they are joined by a colon and written in Base64. A provider that follows
# it decodes them: a plus sign in a secret becomes a blank, a percent sign something else, and the login is refused (invalid_client)
# although id and secret are right. Secrets that providers make often have such characters. The
# scope is not encoded in the form either: of `write a&b` a provider reads `write a`.
# What to do: let the provider give out a secret of letters and digits, and scopes without `&`, `%` and `+`.
# Seen on 2026-11-29 with confluent-kafka==2.16.1 (librdkafka 2.16.0).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check confluent-kafka==2.16.1
cd "$folder"
venv/bin/python - <<'PY'
import base64
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote_plus

import confluent_kafka

asked: queue.Queue[tuple[str, bytes]] = queue.Queue()


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        form = self.rfile.read(int(self.headers["Content-Length"]))
        asked.put((self.headers["Authorization"], form))
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
secret = "one+two/three%20"
producer = confluent_kafka.Producer(
    {
        "bootstrap.servers": "127.0.0.1:9",
        "log_level": 0,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": "worker",
        "sasl.oauthbearer.client.secret": secret,
        "sasl.oauthbearer.scope": "write a&b",
        "sasl.oauthbearer.token.endpoint.url": f"http://127.0.0.1:{server.server_port}/token",
    }
)
header, form = asked.get(timeout=30)
sent = base64.b64decode(header.removeprefix("Basic ")).decode()
print("librdkafka:      ", confluent_kafka.libversion()[0])
print("by RFC 6749:     ", f"worker:{quote_plus(secret)}")
print("sent:            ", sent)
print("form:            ", form.decode())
assert sent == f"worker:{secret}"
assert parse_qs(form.decode())["scope"] == ["write a"]
PY
