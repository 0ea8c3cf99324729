"""The embedded servers of one data folder: started or found again, watched and restarted at their ports, stopped."""

import fcntl
import itertools
import os
import shutil
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple, Protocol, Self

from refold.api.embedded.errors import DataInUse, EmbeddedFailed, NoPermission
from refold.api.embedded.jars import Report
from refold.api.embedded.kafka import KafkaServer
from refold.api.embedded.postgres import PostgresServer
from refold.api.embedded.processes import ServerProcess
from refold.streams.settings import Settings

START_BOUND_S = 120.0
WATCH_S = 0.25
FREE_BYTES = 300_000_000
ATTEMPTS = 3
LOCK = "servers.lock"
"""File of a data folder that its owner holds."""


class Endpoints(NamedTuple):
    """The addresses of the servers; None for one that is not embedded."""

    kafka: str | None
    database_url: str | None


class Server(Protocol):
    """The common part of Kafka and Postgres."""

    name: str
    process: ServerProcess

    @property
    def address(self) -> str | None: ...
    def prepare(self, report: Report) -> None: ...
    def launch(self) -> None: ...
    def ready(self) -> bool: ...
    def stop(self) -> None: ...


class Servers:
    """The servers of one data folder, owned by one process at a time."""

    def __init__(self, data: Path, report: Report, *, kafka: bool = True, postgres: bool = True) -> None:
        self._data = data.absolute()
        self._report = report
        self._servers: list[Server] = []
        if kafka:
            self._servers.append(KafkaServer(self._data))
        if postgres:
            self._servers.append(PostgresServer(self._data))
        self._owner: IO[str] | None = None
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="embedded-servers", daemon=True)

    def start(self) -> Endpoints:
        """Start every server, or raise one sentence with the remedy. A second owner of the folder is refused."""
        self._owner = own(self._data)
        try:
            require_space(self._data)
            self._bring_up()
            for server in self._servers:
                if isinstance(server, PostgresServer):
                    server.admit_analysts()
        except BaseException:
            self.stop()
            raise
        self._watcher.start()
        return self.endpoints()

    def endpoints(self) -> Endpoints:
        """The addresses at which this folder's servers listen."""
        found = {server.name: server.address for server in self._servers}
        return Endpoints(found.get("Kafka"), found.get("Postgres"))

    def pids(self) -> dict[str, int]:
        """The living servers' pids by role, `kafka` and `postgres`."""
        found = {server.name.lower(): server.process.pid for server in self._servers}
        return {name: pid for name, pid in found.items() if pid}

    def stop(self) -> None:
        """Stop both at once and give the folder back. A process that does not own it stops nothing."""
        if self._owner is None:
            return
        self._stopping.set()
        if self._watcher.is_alive() and self._watcher is not threading.current_thread():
            self._watcher.join()
        stoppers = [threading.Thread(target=server.stop) for server in self._servers]
        for thread in stoppers:
            thread.start()
        for thread in stoppers:
            thread.join()
        self._owner.close()
        self._owner = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _bring_up(self) -> None:
        launched = []
        for server in self._servers:
            if server.process.adopt():
                if server.ready():
                    self._report(f"{server.name} of an earlier run is still up: using it")
                    server.prepare(self._report)
                    continue
                server.stop()
            server.prepare(self._report)
            server.launch()
            launched.append(server)
        for server in launched:
            self._wait_until_ready(server)

    def _wait_until_ready(self, server: Server) -> None:
        self._report(f"starting {server.name}")
        deadline = time.monotonic() + START_BOUND_S
        attempts = 1
        while not server.ready():
            if not server.process.alive() and attempts < ATTEMPTS:
                # A server killed a moment ago may leave its lock or its shared memory for some milliseconds,
                # or one that a killed parent was just starting may have been faster.
                attempts += 1
                time.sleep(0.5)
                if not server.process.adopt():
                    server.launch()
            elif not server.process.alive() or time.monotonic() > deadline:
                raise EmbeddedFailed(
                    f"{server.name} did not start: {server.process.last_words()} (see {server.process.log})."
                )
            time.sleep(0.05)

    def _watch(self) -> None:
        """Restart a server that dies, on the port that its clients know."""
        while not self._stopping.wait(WATCH_S):
            for server in self._servers:
                if not server.process.alive():
                    self._restart(server)

    def _restart(self, server: Server) -> None:
        self._report(f"{server.name} is gone: starting it again on the same port")
        for attempt in itertools.count():
            try:
                server.launch()
            except OSError as error:
                self._report(f"{server.name} cannot be started: {error}")
            except EmbeddedFailed as problem:
                self._report(f"{server.name}: {problem.message}")
            if self._stopping.wait(min(0.3 * 2**attempt, 5.0)) or server.process.alive():
                return


def find_running(data: Path) -> Endpoints:
    """The embedded servers that another process runs in this folder; None for each that does not run."""
    servers: Iterable[Server] = (KafkaServer(data.absolute()), PostgresServer(data.absolute()))
    kafka, postgres = (server.address if server.process.adopt() else None for server in servers)
    return Endpoints(kafka, postgres)


def analyst_address(settings: Settings) -> str | None:
    """The address with the analysts' login: the configured one, else the embedded Postgres's if it is used and runs."""
    if settings.analyst_url is not None:
        return settings.analyst_url.get_secret_value()
    server = PostgresServer(settings.data.absolute())
    embedded = server.address if server.process.adopt() else None
    ours = settings.database_url is None or settings.dsn() == embedded
    return server.analyst_address if embedded is not None and ours else None


def connected(settings: Settings) -> Settings:
    """The settings with the servers' addresses: configured ones, else those of embedded servers in the data folder.

    A server that is found nowhere stays unnamed.
    """
    if settings.kafka is not None and settings.database_url is not None:
        return settings
    found = find_running(settings.data)
    kafka = settings.kafka or found.kafka
    database_url = settings.dsn() if settings.database_url else found.database_url
    return settings.with_servers(kafka, database_url)


def own(data: Path) -> IO[str]:
    """Take the folder for this process. The lock ends with the process, however it ends. A refusal changes nothing."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = os.fdopen(os.open(data / LOCK, os.O_RDWR | os.O_CREAT, 0o644), "r+")
    except OSError as error:
        raise NoPermission(f"The data folder {data} cannot be written ({error.strerror}).") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read(20).strip()
        lock.close()
        raise DataInUse(f"Another process{f' ({owner})' if owner else ''} runs the servers of {data}.") from None
    _sign(lock.fileno())
    return lock


def _sign(lock: int) -> None:
    """Write the owner's pid into the lock, in place: a renamed file would be a second lock.

    The lock holds unsigned, too.
    """
    os.ftruncate(lock, 0)
    with suppress(OSError):
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def require_space(data: Path) -> None:
    """Refuse to start on a full disk, where Kafka would die later with half a segment."""
    free = shutil.disk_usage(data).free
    if free < FREE_BYTES:
        raise EmbeddedFailed(
            f"The disk of {data} has {free // 1_000_000} MB left; the servers need {FREE_BYTES // 1_000_000} MB to start.",
            "Free some space, or choose another folder with REFOLD_DATA.",
        )
