"""A small issuer of tokens for machines: it gives them for a client's id and secret, and shows its keys."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET, AUDIENCE = "refold", "with a +", "kafka"
_WHO = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()


class Issuer:
    """Its address, and how many tokens it gave. They hold for `seconds`."""

    def __init__(self) -> None:
        self.given, self.seconds = 0, 60
        self._key = RSAKey.generate_key(2048, {"kid": "one"}, private=True)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def token(self) -> str:
        """A signed token of the one client."""
        now = int(time.time())
        claims = {"iss": self.url, "sub": CLIENT, "aud": AUDIENCE, "iat": now, "exp": now + self.seconds}
        self.given += 1
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, self._key)

    def keys(self) -> dict[str, Any]:
        """What the broker checks tokens by."""
        return {"keys": [self._key.as_dict(private=False, use="sig", alg="RS256")]}

    @contextmanager
    def serving(self) -> Iterator["Issuer"]:
        """Answer while the block lasts."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, issuer.keys())

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                known = self.headers["Authorization"] == f"Basic {_WHO}" and form["scope"] == ["write"]
                if not known or form["grant_type"] != ["client_credentials"]:
                    self._answer(401, {"error": "invalid_client"})
                    return
                token = {"access_token": issuer.token(), "token_type": "Bearer", "expires_in": issuer.seconds}
                self._answer(200, token)

            def _answer(self, status: int, body: object) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        return Handler
