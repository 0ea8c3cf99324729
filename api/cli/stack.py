"""All of Refold on one machine: embedded servers unless others are named, the workers, the API.

Runs `refold dev` and the demo.
"""

import socket
import time
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Self

from refold.api.cli.logs import Output, keep_in_files
from refold.api.cli.output import LAST_WORDS
from refold.api.cli.roles import ALL, processes
from refold.api.cli.supervisor import Supervisor
from refold.api.embedded.jars import Report
from refold.api.embedded.servers import Servers
from refold.streams.errors import Refused, Unreachable
from refold.streams.journal.formats import form_of, read
from refold.streams.settings import Settings

READY_BOUND_S = 90.0


class Stack:
    """`with Stack(settings) as stack:` runs everything; afterwards everything that it started is stopped."""

    def __init__(
        self,
        settings: Settings,
        report: Report,
        output: Output | None = None,
        roles: tuple[str, ...] = ALL,
    ) -> None:
        self._wanted = settings
        self._report = report
        self._roles = roles
        self._output = output
        self._servers: Servers | None = None
        self._supervisor: Supervisor | None = None
        self._said = ""
        self.settings = settings

    @property
    def api_url(self) -> str:
        """The API's URL."""
        return f"http://{self.settings.api_host}:{self.settings.api_port}"

    def pids(self) -> dict[str, int]:
        """Living processes by role: kafka, postgres, handler (and handler-2 …), core, models, reactors, api."""
        servers = self._servers.pids() if self._servers else {}
        return servers | (self._supervisor.pids() if self._supervisor else {})

    def start(self) -> None:
        """Start the servers, then the processes; returns when the servers answer."""
        self.settings = self._with_free_port(self._with_servers())
        output = self._output or self._kept_in_files()
        self._supervisor = Supervisor(self.settings, processes(self.settings, self._roles), self._remembering(output))
        self._supervisor.start()

    def _kept_in_files(self) -> Output:
        return keep_in_files(self.settings.data.absolute() / "logs", form_of(self.settings.log_format))

    def wait_until_ready(self, bound_s: float = READY_BOUND_S) -> None:
        """Wait until the API is ready. Raises Unreachable, and Refused if a process ends for good with a reason."""
        deadline = time.monotonic() + bound_s
        while not self._api_is_ready():
            if self.ended() is not None and self._said:
                raise Refused(self._said, f"The logs are in {self.settings.data.absolute() / 'logs'}.")
            if self.ended() is not None or time.monotonic() > deadline:
                raise Unreachable(
                    f"The API at {self.api_url} did not become ready.",
                    f"Read the logs in {self.settings.data.absolute() / 'logs'}.",
                )
            time.sleep(0.1)

    def _remembering(self, output: Output) -> Output:
        """An output that also keeps the last words of a process that ends for good, for `wait_until_ready`."""

        def passed_on(name: str, line: str) -> None:
            found = read(line) if LAST_WORDS in line else None
            if found is not None and found.logger == LAST_WORDS:
                self._said = f"{name}: {found.message}"
            output(name, line)

        return passed_on

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait until a process ends for good. Returns its exit code, or None after `seconds`."""
        return self._supervisor.wait(seconds) if self._supervisor else None

    def ended(self) -> int | None:
        """The exit code of a process that ended for good, or None."""
        return self.wait(0)

    def stop(self) -> None:
        """Stop what was started, processes first."""
        if self._supervisor:
            self._supervisor.stop()
        if self._servers:
            self._servers.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _with_servers(self) -> Settings:
        kafka, database = self._wanted.kafka, self._wanted.database_url
        if kafka is not None and database is not None:
            return self._wanted
        self._servers = Servers(self._wanted.data, self._report, kafka=kafka is None, postgres=database is None)
        endpoints = self._servers.start()
        return self._wanted.with_servers(
            kafka or endpoints.kafka or "", database.get_secret_value() if database else endpoints.database_url or ""
        )

    def _with_free_port(self, settings: Settings) -> Settings:
        """The settings with another port if the API's is taken, so that two stacks can run on one machine."""
        for port in (settings.api_port, 0):
            with suppress(OSError), socket.create_server((settings.api_host, port)) as probe:
                taken = probe.getsockname()[1]
                if port != taken and settings.api_port:
                    self._report(f"port {settings.api_port} is taken: the API listens on {taken}")
                return settings.model_copy(update={"api_port": taken})
        raise Unreachable(
            f"No port is free on {settings.api_host}.", "Set REFOLD_API_HOST to an address of this machine."
        )

    def _api_is_ready(self) -> bool:
        with (
            suppress(OSError),
            closing(HTTPConnection(self.settings.api_host, self.settings.api_port, timeout=2)) as api,
        ):
            api.request("GET", "/readyz")
            return api.getresponse().status == HTTPStatus.OK
        return False
