"""The process has the descriptors that the promised connections need; otherwise it takes fewer and reports it."""

import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from refold.api.http.wire.descriptors import connections_possible, raise_limit, warn_if_few


@pytest.mark.parametrize(
    ("limits", "possible", "set_to"),
    [
        ((256, 256), 136, (256, 256)),
        ((256, 9000), 4500, (9000, 9000)),
        ((9000, 9000), 4500, None),
        ((1, 50), 1, (50, 50)),
    ],
)
def test_the_soft_limit_is_raised_and_what_is_missing_is_said(
    limits: tuple[int, int],
    possible: int,
    set_to: tuple[int, int] | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    was: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, to: was.append(to))
    assert connections_possible(4500) == possible
    assert was == ([set_to] if set_to else [])
    assert len(caplog.records) == (possible < 4500)


@pytest.mark.parametrize(
    ("limits", "set_to"),
    [
        ((256, 4096), [(4096, 4096)]),
        ((4096, 4096), []),
        ((1024, resource.RLIM_INFINITY), [(1 << 20, resource.RLIM_INFINITY)]),
        ((1024, 1 << 30), [(1 << 20, 1 << 30)]),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), []),
    ],
)
def test_a_worker_raises_its_soft_limit_to_the_hard_one(
    limits: tuple[int, int], set_to: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    was: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, to: was.append(to))
    raise_limit()
    assert was == set_to


def test_the_last_descriptors_are_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    warn_if_few(200)
    assert not caplog.records
    warn_if_few(250)
    assert "used up" in caplog.text


@pytest.fixture
def few(tmp_path: Path) -> Iterator[int]:
    """The port of an API with 256 descriptors, whose servers are away."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256));"
        "from refold.api.cli.app import run; sys.exit(run(['api']))"
    )
    away = {
        "REFOLD_API_PORT": str(port),
        "REFOLD_API_DRAIN_S": "0",
        "REFOLD_DATA": str(tmp_path),
        "REFOLD_KAFKA": "127.0.0.1:9",
        "REFOLD_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
    }
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", program], env=away, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(60)
    said = (tmp_path / "log").read_text()
    assert said.count("256 file descriptors leave room for 136 connections, not 4500") == 1, said
    assert process.returncode == 0


def connected(port: int) -> HTTPConnection:
    """A connection that is open."""
    client = HTTPConnection("127.0.0.1", port, timeout=60)
    client.connect()
    return client


def asks(client: HTTPConnection, path: str) -> int:
    """The status of a whole answer; OSError or HTTPException where there is none."""
    client.request("GET", path)
    answer = client.getresponse()
    answer.read()
    return answer.status


def test_an_api_with_few_descriptors_answers_its_bound_then_429_and_probes_always(few: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if httpx.get(f"http://127.0.0.1:{few}/livez").status_code == 200:
                break
        except httpx.TransportError:
            time.sleep(0.05)
    held = [connected(few) for _ in range(121)]
    assert {asks(one, "/v1") for one in held} == {200}
    beyond = [connected(few) for _ in range(14)]
    assert {asks(one, "/v1") for one in beyond[:-1]} == {429}
    assert asks(beyond[-1], "/livez") == 200
    beyond[-1].close()
    for _ in range(300):  # more than there are descriptors, one after the other
        further = connected(few)
        assert asks(further, "/livez") == 200
        further.close()
    assert {asks(one, "/v1") for one in held} <= {200, 429}, "nobody who was there is reset"
    for one in held:
        one.close()
