"""All of Refold with a proxy before each server, and with workers that join and leave beside the supervised ones."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest

from refold.api.cli.stack import Stack
from refold.api.embedded.kafka import KafkaServer
from refold.api.embedded.ports import HOST
from refold.api.embedded.servers import Servers
from refold.streams.settings import Settings
from tests.e2e.proxy import Proxy

LEAVE_S = 60.0


class Site:
    """Servers, proxies, and a stack that knows only the proxies. `settings` lead to the servers themselves."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._open = ExitStack()
        self.links = {"kafka": Proxy(), "postgres": Proxy()}
        self.joined: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            for link in self.links.values():
                opening.enter_context(link)
            with advertised_at(self.links["kafka"].port):
                self.servers = opening.enter_context(Servers(self._data, lambda _: None))
            kafka, database_url = self.servers.endpoints()
            assert kafka
            assert database_url
            self.settings = Settings(data=self._data).with_servers(kafka, database_url)
            through = self.settings.with_servers(*self._through(kafka, database_url))
            self.stack = opening.enter_context(Stack(through.model_copy(update={"api_port": 0}), lambda _: None))
            opening.callback(self._end_joined)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def pids(self) -> dict[str, int]:
        """The living processes by role, those that joined left out."""
        return self.servers.pids() | self.stack.pids()

    def join(self, role: str) -> None:
        """A second process of a role."""
        self.joined[role] = start_worker(role, self.stack.settings)

    def leave(self, role: str, number: signal.Signals) -> int:
        """The second process ends; returns its exit code, which is the signal's only for kill -9."""
        process = self.joined.pop(role)
        process.send_signal(number)
        return process.wait(LEAVE_S)

    def _through(self, kafka: str, database_url: str) -> tuple[str, str]:
        self.links["kafka"].upstream = int(kafka.rpartition(":")[2])
        port = urlsplit(database_url).port
        assert port
        self.links["postgres"].upstream = port
        proxied = database_url.replace(f":{port}/", f":{self.links['postgres'].port}/")
        return f"{HOST}:{self.links['kafka'].port}", proxied

    def _end_joined(self) -> None:
        for process in self.joined.values():
            process.kill()
            process.wait()


def start_worker(role: str, settings: Settings, program: str = "refold.api.cli.app") -> subprocess.Popen[bytes]:
    """A worker that nobody supervises; its log stands beside the others'."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
    log = settings.data.absolute() / "logs" / f"joined-{role}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        command = [sys.executable, "-m", program, "worker", role]
        return subprocess.Popen(command, env=environment | settings.environment(), stdout=output, stderr=output)


@contextmanager
def another(role: str, settings: Settings, program: str = "refold.api.cli.app") -> Iterator[int]:
    """A second process of a role beside the supervised one; SIGTERM ends it within seconds, and it says that all is well."""
    process = start_worker(role, settings, program)
    try:
        yield process.pid
        process.terminate()
        assert process.wait(LEAVE_S) == 0
    finally:
        process.kill()
        process.wait()


@contextmanager
def advertised_at(port: int) -> Iterator[None]:
    """Kafka tells its clients another port than its own, so that they come through the proxy."""
    with _properties(lambda broker: {f"advertised.listeners=PLAINTEXT://{HOST}:": (str(broker), str(port))}):
        yield


@contextmanager
def also_behind(proxy: Proxy) -> Iterator[None]:
    """Kafka has one more door, and tells who comes through the proxy to stay there; who comes to its own port stays with that."""
    with socket.create_server((HOST, 0)) as probe:
        proxy.upstream = probe.getsockname()[1]
    door = f",PROXIED://{HOST}:"

    def added(broker: int) -> dict[str, tuple[str, str]]:
        return {
            "\nlisteners=": (own := f"PLAINTEXT://{HOST}:{broker}", f"{own}{door}{proxy.upstream}"),
            "advertised.listeners=": (own, f"{own}{door}{proxy.port}"),
            "listener.security.protocol.map=": ("", "PROXIED:PLAINTEXT,"),
        }

    with _properties(added):
        yield


@contextmanager
def _properties(changes: Callable[[int], dict[str, tuple[str, str]]]) -> Iterator[None]:
    """Kafka's properties otherwise than shipped: what follows each of these beginnings, and what stands there instead."""
    write = KafkaServer._write_properties

    def write_both(server: KafkaServer, ports: dict[str, int]) -> None:
        write(server, ports)
        text = server._properties.read_text()
        for beginning, (old, new) in changes(ports["broker"]).items():
            assert f"{beginning}{old}" in text
            text = text.replace(f"{beginning}{old}", f"{beginning}{new}")
        server._properties.write_text(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KafkaServer, "_write_properties", write_both)
        yield
