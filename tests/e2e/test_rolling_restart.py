"""Two APIs behind a balancer are restarted in turn under load: no client is reset or refused, and none sends twice."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from refold.api.cli.roles import WORKERS
from refold.api.cli.stack import Stack
from refold.api.embedded.ports import HOST
from refold.streams.settings import Settings
from tests.conftest import PORTS, settings_for
from tests.e2e.balancer import Balancer
from tests.e2e.results import note
from tests.e2e.tables import until

RESTARTS = int(os.environ.get("ROLLING_RESTARTS", "2"))
BOUND_S = 60.0


def start_api(settings: Settings, port: int) -> subprocess.Popen[bytes]:
    """An API at a port, whose log stands beside the workers'."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
    environment |= settings.environment() | {"REFOLD_API_PORT": str(port)}
    with (settings.data.absolute() / "logs" / f"api-{port}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "refold.api.cli.app", "api"], env=environment, stdout=log, stderr=log
        )


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on now, and that the system gives to nobody."""
    ports: list[int] = []
    while len(ports) < number:
        port = next(PORTS)
        with suppress(OSError), socket.create_server((HOST, port)):
            ports.append(port)
    return ports


@pytest.mark.timeout(900)
def test_apis_are_restarted_in_turn_and_no_client_notices(kafka: str, database: str, tmp_path: Path) -> None:
    settings = settings_for(kafka, database, tmp_path / "data", api_drain_s=1.0)
    ports = free_ports(2)
    with Stack(settings, lambda _: None, roles=WORKERS):
        running = {port: start_api(settings, port) for port in ports}
        try:
            with Balancer(ports, senders=16) as balancer:
                until(lambda: balancer.ready == set(ports), BOUND_S, "the APIs are not ready")
                until(lambda: settled(balancer), BOUND_S, "the models' worker has made no read model")
                balancer.found.clear()
                codes = [restarted(settings, running, ports[n % 2], balancer) for n in range(RESTARTS)]
                time.sleep(1)
        finally:
            for process in running.values():
                process.kill()
                process.wait()
    found = balancer.found
    served = sum(number for what, number in found.items() if what in {"200", "201", "202"})
    other = {what: number for what, number in found.items() if what not in {"200", "201", "202"}}
    assert not other, found
    assert served > 20 * RESTARTS
    note("rolling restart", restarts=RESTARTS, requests=found.total(), resets=0)
    assert set(codes) == {0}


def settled(balancer: Balancer) -> bool:
    """Whether a while of answers had only good ones; what was asked before a read model was made may be answered after."""
    balancer.found.clear()
    time.sleep(1)
    return balancer.found["200"] > 0 and not balancer.found.keys() - {"200", "201", "202"}


def restarted(settings: Settings, running: dict[int, subprocess.Popen[bytes]], port: int, balancer: Balancer) -> int:
    """Its exit code; the next is ready when this returns."""
    running[port].send_signal(signal.SIGTERM)
    code = running[port].wait(BOUND_S)
    running[port] = start_api(settings, port)
    until(lambda: port in balancer.ready, BOUND_S, "the API is not ready again")
    time.sleep(0.5)
    return code
