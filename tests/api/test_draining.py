"""A stop drains: first not ready, then no new connections; connections close after an answer, requests finish."""

import socket
import sys
import threading
import time
from typing import Any

import httpx
import pytest
from litestar import Litestar

from refold.api.http.server import server
from refold.api.http.wire.unlistening import take_no_new
from refold.streams.settings import Settings
from tests.api.test_limits import COMMAND, GOOD, running


def test_a_stopping_api_is_unready_and_answers_all_else_until_it_is_drained(app: Litestar, world: Any) -> None:
    served = server(Settings(api_port=0, api_drain_s=30), app)
    world.decides = False
    with running(served) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as kept:
        assert kept.get("/livez").headers.get("connection") != "close"
        answers: list[int] = []
        headers = {"Idempotency-Key": "k", "Prefer": "wait=2"}
        url = f"http://127.0.0.1:{port}{COMMAND}"
        flying = threading.Thread(
            target=lambda: answers.append(httpx.post(url, json=GOOD, headers=headers, timeout=60).status_code)
        )
        flying.start()
        until = time.monotonic() + 60
        while not served.server_state.tasks and time.monotonic() < until:
            time.sleep(0.01)
        served.should_exit = True
        until = time.monotonic() + 60
        while not served.server_state.draining and time.monotonic() < until:
            time.sleep(0.01)
        unready, other = kept.get("/readyz"), httpx.get(f"http://127.0.0.1:{port}/v1/retail")
        assert (unready.status_code, unready.json()["checks"][0]["name"]) == (503, "process")
        assert (other.status_code, unready.headers["connection"], other.headers["connection"]) == (
            200,
            "close",
            "close",
        )
        served.force_exit, served._drain_s = False, 0
        flying.join(60)
        assert answers == [202]
        served.force_exit = True


def test_who_is_in_the_listeners_queue_when_it_closes_is_answered(app: Litestar) -> None:
    """The kernel has told them that they are connected, and they have asked; nobody has accepted them yet."""
    served = server(Settings(api_port=0, api_drain_s=0), app)
    stop, waiting = served.shutdown, list[socket.socket]()

    async def stopped_while_they_wait(sockets: list[socket.socket] | None = None) -> None:
        port = served.servers[0].sockets[0].getsockname()[1]
        for _ in range(20):
            waiting.append(socket.create_connection(("127.0.0.1", port), timeout=60))
            waiting[-1].sendall(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
        await stop(sockets)

    served.shutdown = stopped_while_they_wait  # type: ignore[method-assign]  # replaced on purpose
    with running(served):
        pass
    for client in waiting:
        with client:
            answer = b"".join(iter(lambda: client.recv(65536), b""))  # noqa: B023 - used up at once
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
    assert len(waiting) == 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux filters packets for a socket")
def test_a_listener_that_takes_no_new_clients_keeps_those_it_has() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address) as before:
            take_no_new([listener.fileno()])
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)
            taken, _ = listener.accept()
            with taken:
                before.sendall(b"still here")
                assert taken.recv(100) == b"still here"


def test_what_takes_longer_than_a_stop_waits_is_answered_so(
    app: Litestar, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refold.api.http.server.IN_FLIGHT_S", 0.2)
    served = server(Settings(api_port=0, api_drain_s=0), app)
    world.decides = False
    answers: list[httpx.Response] = []
    with running(served) as port:
        headers = {"Idempotency-Key": "k", "Prefer": "wait=30"}
        url = f"http://127.0.0.1:{port}{COMMAND}"
        flying = threading.Thread(
            target=lambda: answers.append(httpx.post(url, json=GOOD, headers=headers, timeout=60))
        )
        flying.start()
        until = time.monotonic() + 60
        while not served.server_state.tasks and time.monotonic() < until:
            time.sleep(0.01)
    flying.join(60)
    (answer,) = answers
    assert (answer.status_code, answer.json()["code"]) == (503, "stopping")
    assert (answer.headers["retry-after"], answer.headers["connection"]) == ("1", "close")


def test_who_is_answered_before_the_whole_body_has_come_gets_the_answer(app: Litestar) -> None:
    """A socket that is closed with bytes unread is reset, and the answer with it."""
    served = server(Settings(api_port=0, api_drain_s=30), app)
    with running(served) as port:
        served.should_exit = True
        until = time.monotonic() + 60
        while not served.server_state.draining and time.monotonic() < until:
            time.sleep(0.01)
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
                head = f"POST {COMMAND} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 5000000\r\n\r\n"
                client.sendall(head.encode())
                for _ in range(50):
                    client.sendall(b"x" * 100_000)
                answer = b"".join(iter(lambda: client.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 413"), answer[:100]
            assert b"connection: close" in answer
            assert b'"code":"body-too-large"' in answer
        served.force_exit = True
