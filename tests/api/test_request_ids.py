"""Each request has an id, in its answer, problems and log lines; the access log has a line for each request."""

import io
import json
import logging
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from refold.api.http.commands import sending
from refold.api.http.server import server
from refold.api.http.wire import connections
from refold.streams.journal.formats import LineWriter, as_json
from refold.streams.journal.handler import Journal
from refold.streams.settings import Settings
from tests.api.test_limits import COMMAND, GOOD, running

OURS = r"[0-9a-f]{12}-[0-9a-f]+"


class Heard:
    """All that the loggers of this process say."""

    def __init__(self) -> None:
        self._stream = io.StringIO()
        self.journal = Journal(self._stream, as_json, LineWriter("api", 1))

    def lines(self, logger: str, least: int = 0) -> list[dict[str, Any]]:
        """Those of a logger, once there are so many: a request is logged when its client has the answer already."""
        until = time.monotonic() + 60
        while True:
            found = [json.loads(line) for line in self._stream.getvalue().splitlines()]
            found = [line for line in found if line["logger"] == logger]
            if len(found) >= least or time.monotonic() > until:
                return found
            time.sleep(0.01)


@pytest.fixture
def heard() -> Iterator[Heard]:
    found, root = Heard(), logging.getLogger()
    before = root.level
    root.addHandler(found.journal)
    root.setLevel(logging.INFO)
    yield found
    root.setLevel(before)
    root.removeHandler(found.journal)
    found.journal.close()


@pytest.fixture
def url(app: Litestar) -> Iterator[str]:
    with running(server(Settings(api_port=0, api_drain_s=0, api_access_log=True), app)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "sent", ["x", "0af7651916cd43dd8448eb211c80319c", "Root=1-67891233-abcdef", "a/b+c=", "~" * 128]
)
def test_a_sound_id_is_kept(url: str, sent: str) -> None:
    answer = httpx.get(f"{url}/v1/nowhere", headers={"X-Request-ID": sent})
    assert answer.headers.get_list("x-request-id") == [sent]
    assert answer.json()["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "a b", "a\tb", "x" * 129, 'a"b', "a\\nb", "ü".encode(), "{a}", "<script>", None])
def test_any_other_is_replaced_by_one_of_ours(url: str, sent: str | bytes | None) -> None:
    given = sent.encode() if isinstance(sent, str) else sent
    with httpx.Client(headers={} if given is None else {b"X-Request-Id": given}) as client:
        answers = [client.get(f"{url}/v1/nowhere") for _ in range(2)]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert all(re.fullmatch(OURS, each) for each in ids)
    assert ids[0] != ids[1]
    assert [answer.json()["request_id"] for answer in answers] == ids


def test_answers_that_are_no_problems_have_it_in_their_header_alone(url: str) -> None:
    answer = httpx.post(f"{url}{COMMAND}", json=GOOD, headers={"Idempotency-Key": "k", "X-Request-Id": "one"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (201, "one")
    assert "request_id" not in answer.json()


def test_requests_sent_in_one_go_keep_each_its_own(url: str, heard: Heard) -> None:
    asked = b"".join(b"GET /v1/nowhere%d HTTP/1.1\r\nx-request-id: id-%d\r\n\r\n" % (n, n) for n in range(3))
    port = int(url.rpartition(":")[2])
    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as connection:
        connection.sendall(asked + b"GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n")
        said = b"".join(iter(lambda: connection.recv(65536), b""))
    for number in range(3):
        assert said.count(b"x-request-id: id-%d\r\n" % number) == said.count(b'"request_id":"id-%d"' % number) == 1
    assert [line["request_id"] for line in heard.lines("refold.access", 3)][:3] == ["id-0", "id-1", "id-2"]


def test_what_is_refused_before_it_is_a_request_has_one_too(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_HEADER_BYTES", 300)
    for sent, wanted in (({"X-Request-Id": "mine"}, "mine"), ({}, None)):
        answer = httpx.get(f"{url}/livez", headers=sent | {"x": "y" * 300})
        assert answer.status_code == 431
        assert answer.headers["x-request-id"] == answer.json()["request_id"]
        assert wanted in (None, answer.headers["x-request-id"])


def test_the_access_log_says_the_route_and_never_what_was_asked_for(url: str, heard: Heard) -> None:
    headers = {"Idempotency-Key": "k", "X-Request-Id": "sends"}
    command = httpx.post(f"{url}{COMMAND}", json=GOOD, headers=headers).json()["command_id"]
    httpx.get(f"{url}/v1/retail/store_daily?note=eq.secret")
    httpx.get(f"{url}/secret/path")
    first, second, third = heard.lines("refold.access", 3)
    assert first.pop("ms") >= 0
    assert {name: first[name] for name in ("level", "request_id", "command_id", "method", "route", "status")} == {
        "level": "INFO", "request_id": "sends", "command_id": command,
        "method": "POST", "route": "/v1/commands/{domain}/{category}/{name}", "status": 201,
    }  # fmt: skip
    assert (second["route"], third["route"]) == ("/v1/{domain}/{model}", "unknown")
    assert "command_id" not in second
    assert "secret" not in json.dumps([first, second, third])


def test_no_access_log_unless_it_is_asked_for(app: Litestar, heard: Heard) -> None:
    with running(server(Settings(api_port=0, api_drain_s=0), app)) as port:
        httpx.get(f"http://127.0.0.1:{port}/livez")
    assert heard.lines("refold.access") == []


def test_a_defect_leaves_a_line_with_the_request_and_the_command(
    url: str, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(sending.Sending, "decided", breaks)
    headers = {"Idempotency-Key": "k2", "X-Request-Id": "breaks"}
    answer = httpx.post(f"{url}{COMMAND}", json=GOOD, headers=headers)
    assert (answer.status_code, answer.json()["request_id"]) == (500, "breaks")
    assert "a defect" not in answer.text
    (line,) = heard.lines("refold.api.http.wire.problems")
    assert (line["level"], line["request_id"]) == ("ERROR", "breaks")
    assert len(line["command_id"]) == 36
    assert "ZeroDivisionError: a defect" in line["exception"]


def test_what_the_server_below_us_says_has_the_id_too(app: Litestar, heard: Heard) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            raise RuntimeError("below the framework")
        await app(scope, receive, send)

    with running(server(Settings(api_port=0, api_drain_s=0), broken)) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/v1/x", headers={"X-Request-Id": "low"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "low")
    assert "low" in [line.get("request_id") for line in heard.lines("uvicorn.error")]
