"""A worker's own HTTP door answers while the worker computes or waits, and never delays the worker."""

import json
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import yaml

from refold.api.cli.roles import WORKERS, probe_port
from refold.api.http import probes
from refold.api.http.probes import Probes
from refold.api.http.wire import connections
from refold.api.http.wire.listening import listening
from refold.streams import standing
from refold.streams.errors import AddressRefused, BadSettings
from refold.streams.settings import Settings
from refold.streams.worker.taking_part import Part

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def part() -> Part:
    return Part()


@pytest.fixture
def door(part: Part) -> str:
    found = Probes("core", "127.0.0.1", 0, part)
    found.start()
    return found.url


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_it_lives_before_it_is_ready_and_says_what_it_waits_for(door: str, part: Part) -> None:
    standing.waits(part, "kafka-unavailable: Kafka does not answer")
    assert httpx.get(f"{door}/livez").json() == {"ok": True}
    answer = httpx.get(f"{door}/readyz")
    assert answer.status_code == 503
    waits = {check["name"]: check["detail"] for check in answer.json()["checks"]}["waits"]
    assert waits.startswith("waits: kafka-unavailable: Kafka does not answer")
    part.has_nothing_to_do("no configured domain has reactors")
    assert httpx.get(f"{door}/readyz").status_code == 200
    metrics = httpx.get(f"{door}/metrics")
    assert 'refold_ready{check="started"} 1.0' in metrics.text
    assert metrics.headers["content-type"].startswith("text/plain")


def test_what_is_not_there_is_a_problem(door: str) -> None:
    found, wrong = httpx.get(f"{door}/v1"), httpx.post(f"{door}/livez")
    assert (found.status_code, found.json()["code"]) == (404, "route-unknown")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method-not-allowed")
    assert wrong.headers["allow"] == "GET, HEAD"
    assert httpx.head(f"{door}/livez").status_code == 200


def test_it_answers_while_other_threads_never_stop_computing(door: str) -> None:
    done = threading.Event()

    def compute() -> None:
        while not done.is_set():
            sum(range(1000))

    computing = [threading.Thread(target=compute) for _ in range(3)]
    for thread in computing:
        thread.start()
    try:
        assert [httpx.get(f"{door}/livez").status_code for _ in range(5)] == [200] * 5
    finally:
        done.set()


def test_connections_without_a_request_and_flooded_heads_hold_up_no_probe(
    door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 3.0)
    monkeypatch.setattr(probes, "MAX_CONNECTIONS", 8)
    with ExitStack() as open_:
        idle = [
            open_.enter_context(socket.create_connection(("127.0.0.1", port_of(door)), timeout=60)) for _ in range(100)
        ]
        idle[0].sendall(b"GET /livez HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n")
        assert httpx.get(f"{door}/livez").json() == {"ok": True}
        assert all(connection.recv(10_000) == b"" for connection in idle[-5:]), "a silent one is closed"


def test_each_answer_is_the_last_of_its_connection(door: str) -> None:
    with socket.create_connection(("127.0.0.1", port_of(door)), timeout=60) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        text = b"".join(iter(lambda: connection.recv(65536), b""))
    assert text.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in text


def test_an_address_that_is_taken_or_not_of_this_machine_is_one_clear_error() -> None:
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressRefused) as found:
            Probes("core", "127.0.0.1", port)
    assert found.value.code == "address-refused"
    assert found.value.message == f"cannot listen on 127.0.0.1:{port}: Address already in use"
    with pytest.raises(AddressRefused):
        listening("203.0.113.1", 0)


def test_the_roles_of_one_supervisor_have_ports_side_by_side() -> None:
    settings = Settings(probe_port=8081)
    assert [probe_port(settings, role, 1) for role in WORKERS] == [8081, 8082, 8083, 8084]
    assert [probe_port(settings, "handler", number) for number in (2, 3)] == [8085, 8086]
    assert probe_port(Settings(probe_port=0), "models", 1) == 0
    assert probe_port(Settings(), "models", 1) is None
    with pytest.raises(BadSettings, match="probe_port: 65534 leaves no port for models"):
        probe_port(Settings(probe_port=65534), "models", 1)


def asked_by(command: list[str], monkeypatch: pytest.MonkeyPatch, answers: set[int]) -> list[int]:
    """Which ports a health check asks on a machine where only `answers` answer; it exits with 1 where it fails."""
    ports: list[int] = []

    def urlopen(url: str, timeout: float) -> None:
        assert timeout <= 2
        ports.append(int(httpx.URL(url).port or 0))
        if ports[-1] not in answers:
            raise ConnectionRefusedError

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    assert command[:-1] == ["python", "-c"]
    exec(command[-1], {})
    return ports


def test_the_healthchecks_of_compose_ask_the_door_of_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    compose = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
    worker, api = compose["worker"], compose["api"]
    settings = Settings(probe_port=int(worker["environment"]["REFOLD_PROBE_PORT"]))
    doors = [probe_port(settings, role, 1) for role in WORKERS]
    check = worker["healthcheck"]["test"][1:]
    assert asked_by(check, monkeypatch, {port for port in doors if port}) == doors
    assert "/readyz" in check[-1]
    for silent in doors:
        with pytest.raises(ConnectionRefusedError):
            asked_by(check, monkeypatch, {port for port in doors if port} - {silent or 0})
    assert asked_by(api["healthcheck"]["test"][1:], monkeypatch, {8080}) == [8080]


def test_the_healthcheck_of_the_image_fits_the_api_and_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docker/Dockerfile").read_text()
    check = json.loads(text.partition("HEALTHCHECK")[2].partition("CMD")[2].splitlines()[0])
    variables = dict(pair.split("=") for pair in text.partition("PYTHONUNBUFFERED=1")[2].splitlines()[0].split())
    assert variables["REFOLD_PROBE_HOST"] == "0.0.0.0"
    worker = int(variables["REFOLD_PROBE_PORT"])
    assert asked_by(check, monkeypatch, {8080}) == [8080], "the API"
    assert asked_by(check, monkeypatch, {worker}) == [8080, worker], "a worker"
    with pytest.raises(ConnectionRefusedError):
        asked_by(check, monkeypatch, set())


def test_a_page_of_metrics_is_made_once_a_second_however_often_it_is_asked_for(
    door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[float] = []

    def page(_: object) -> bytes:
        made.append(time.monotonic())
        return b"refold_ready 1\n"

    monkeypatch.setattr(probes, "own_page", page)
    monkeypatch.setattr(probes, "_METRICS_S", 60.0)
    assert {httpx.get(f"{door}/metrics").text for _ in range(5)} == {"refold_ready 1\n"}
    assert len(made) == 1
