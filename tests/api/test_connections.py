"""One client cannot stall the others: its bytes before a complete request are bounded in number and in time."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from refold.api.http.server import server
from refold.api.http.wire import connections
from refold.streams.settings import Settings
from tests.api.test_limits import running

END = b"\r\n\r\n"


@pytest.fixture(autouse=True)
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """So low that no test sends much."""
    monkeypatch.setattr(connections, "MAX_HEADERS", 10)
    monkeypatch.setattr(connections, "MAX_HEADER_BYTES", 300)
    monkeypatch.setattr(connections, "MAX_TARGET_BYTES", 200)


@pytest.fixture
def port(app: Litestar) -> Iterator[int]:
    with running(server(Settings(api_port=0, api_drain_s=0), app)) as found:
        yield found


@contextmanager
def client(port: int) -> Iterator[socket.socket]:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as connection:
        yield connection


def said(connection: socket.socket) -> bytes:
    """All that comes until the server closes, without a reset."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def problems(text: bytes) -> tuple[int, str]:
    """Status and code of the one answer."""
    head, _, body = text.partition(END)
    assert b"application/problem+json" in head, head
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        pytest.param(b"GET /livez HTTP/1.1\r\n" + b"a: 1\r\n" * 11 + b"\r\n", 431, "headers-too-large", id="many"),
        pytest.param(b"GET /livez HTTP/1.1\r\na: " + b"x" * 300 + END, 431, "headers-too-large", id="one-long"),
        pytest.param(b"GET /livez HTTP/1.1\r\na: " + b"x" * 900, 431, "headers-too-large", id="one-without-end"),
        pytest.param(b"GET /livez HTTP/1.1\r\n" + b"x" * 900, 431, "headers-too-large", id="a-name-without-end"),
        pytest.param(b"\r\n" * 400, 431, "headers-too-large", id="only-line-ends"),
        pytest.param(b"GET /" + b"x" * 200 + b" HTTP/1.1" + END, 414, "target-too-long", id="target"),
        pytest.param(b"GET /livez?" + b"x" * 600, 414, "target-too-long", id="target-without-end"),
        pytest.param(b"hello there\r\n\r\n", 400, "request-malformed", id="no-http"),
    ],
)
@pytest.mark.parametrize("piece", [1 << 20, 50], ids=["at-once", "in-pieces"])
def test_a_head_beyond_its_bounds_is_a_problem_and_the_end(
    port: int, sent: bytes, status: int, code: str, piece: int
) -> None:
    with client(port) as connection:
        for begin in range(0, len(sent), piece):
            connection.sendall(sent[begin : begin + piece])
        assert problems(said(connection)) == (status, code)
        assert httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200


def test_trailers_are_bounded_as_headers_are(port: int) -> None:
    begin = b"POST /v1/commands/retail/basket/ScanItem HTTP/1.1\r\ntransfer-encoding: chunked\r\nIdempotency-Key: k\r\ncontent-type: application/json\r\n\r\n0\r\na: "
    with client(port) as connection:
        connection.sendall(begin + b"x" * 1000)
        assert problems(said(connection)) == (431, "headers-too-large")


def test_what_came_before_a_refused_head_is_answered_first_and_what_is_within_the_bounds_always(port: int) -> None:
    good = b"GET /livez HTTP/1.1\r\na: " + b"x" * 200 + END
    with client(port) as connection:
        connection.sendall(good * 3 + b"GET /livez HTTP/1.1\r\na: " + b"x" * 900)
        assert said(connection).count(b"HTTP/1.1 200") == 3


def test_headers_that_do_not_end_are_408_and_a_silent_connection_is_closed(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.2)
    with client(port) as slow, client(port) as silent:
        slow.sendall(b"GET /livez HTTP/1.1\r\na: ")
        assert problems(said(slow)) == (408, "headers-timeout")
        assert said(silent) == b""
    monkeypatch.setattr(connections, "HEADERS_S", 60)
    with client(port) as later:
        later.sendall(b"GET /livez HTTP/1.1\r\n\r\n")
        assert later.recv(65536).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(connections, "HEADERS_S", 0.2)
        later.sendall(b"GET /livez HTTP/1.1\r\na: ")
        assert problems(said(later)) == (408, "headers-timeout")


def test_a_probe_is_answered_while_connections_without_a_request_fill_the_limit(app: Litestar) -> None:
    served = server(Settings(api_port=0, api_drain_s=0), app)
    served.config.limit_concurrency = 5
    with running(served) as port, ExitStack() as opened:
        for _ in range(20):
            opened.enter_context(client(port)).sendall(b"GET / HTTP/1.1\r\na: ")
        for path in ("/livez", "/readyz"):
            assert httpx.get(f"http://127.0.0.1:{port}{path}").status_code == 200
        assert len(served.server_state.connections) <= 5


@pytest.mark.parametrize("closes", [True, False], ids=["closed-after", "kept-alive"])
def test_a_client_that_reads_no_answer_is_ended(monkeypatch: pytest.MonkeyPatch, closes: bool) -> None:
    monkeypatch.setattr(connections, "WRITE_S", 0.2)
    body = b"x" * (8 << 20)

    async def large(scope: Scope, _: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            headers = [(b"content-length", str(len(body)).encode()), *([(b"connection", b"close")] if closes else [])]
            start: Any = {"type": "http.response.start", "status": 200, "headers": headers}
            end: Any = {"type": "http.response.body", "body": body, "more_body": False}
            await send(start)
            await send(end)

    served = server(Settings(api_port=0, api_drain_s=0), large)
    served.config.lifespan = "off"
    with running(served) as port, client(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        until = time.monotonic() + 60
        while not served.server_state.total_requests and time.monotonic() < until:
            time.sleep(0.01)
        while served.server_state.connections and time.monotonic() < until:
            time.sleep(0.01)
        assert not served.server_state.connections


def test_room_is_made_of_who_never_asked_and_then_of_who_is_silent_for_longest(app: Litestar) -> None:
    served = server(Settings(api_port=0, api_drain_s=0), app)
    served.config.limit_concurrency = 4
    request = b"GET /livez HTTP/1.1\r\n\r\n"
    with running(served) as port, ExitStack() as opened:
        first, second = (opened.enter_context(client(port)) for _ in range(2))
        for asked in (second, first):  # the second is silent for longer
            asked.sendall(request)
            assert asked.recv(65536).startswith(b"HTTP/1.1 200")
        never = opened.enter_context(client(port))
        probe = opened.enter_context(client(port))
        probe.sendall(request)
        assert probe.recv(65536).startswith(b"HTTP/1.1 200")
        assert _is_reset(never)
        next_probe = opened.enter_context(client(port))
        next_probe.sendall(request)
        assert next_probe.recv(65536).startswith(b"HTTP/1.1 200")
        assert _is_reset(second)
        first.sendall(request)
        assert first.recv(65536).startswith(b"HTTP/1.1 200")


def _is_reset(connection: socket.socket) -> bool:
    try:
        return connection.recv(65536) == b""
    except ConnectionResetError:
        return True
