"""Processes of two versions of one domain, on one log and one database."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import psycopg

from refold.streams.settings import Settings

WELL = "well"


class Versions:
    """A folder `old` and a folder `new` of a room hold the domain's package."""

    def __init__(self, settings: Settings, room: Path, domain: str) -> None:
        self.settings, self.room, self._domain = settings, room, domain
        self._ports: dict[str, int] = {}
        self._running: dict[tuple[str, str], subprocess.Popen[bytes]] = {}

    def start(self, version: str, *roles: str) -> None:
        """One process for each role."""
        for role in roles:
            more = {}
            if role == "api":
                with socket.create_server(("127.0.0.1", 0)) as probe:
                    self._ports[version] = probe.getsockname()[1]
                more = {"REFOLD_API_PORT": str(self._ports[version])}
            words = ["api"] if role == "api" else ["worker", role]
            with (self.room / f"{version}-{role}.log").open("ab") as log:
                self._running[version, role] = subprocess.Popen(
                    self._command(*words), env=self._environment(version) | more, stdout=log, stderr=log
                )

    def begin(self, version: str, name: str, *words: str) -> subprocess.Popen[bytes]:
        """A command of one version that runs on, under a name."""
        with (self.room / f"{version}-{name}.log").open("ab") as log:
            process = subprocess.Popen(self._command(*words), env=self._environment(version), stdout=log, stderr=log)
        self._running[version, name] = process
        return process

    def stop(self, version: str, *roles: str) -> None:
        """Each in peace."""
        for role in roles:
            process = self._running.pop((version, role))
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) in (0, -signal.SIGTERM), (self.room / f"{version}-{role}.log").read_text()[-3000:]

    def kill(self) -> None:
        """All that still run."""
        for process in self._running.values():
            process.kill()
            process.wait()

    def run(self, version: str, *words: str) -> str:
        """A command of one version; its output. Fails where it does."""
        done = subprocess.run(
            self._command(*words),
            env=self._environment(version),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        """Of the database."""
        with psycopg.connect(self.settings.dsn()) as db:
            return db.execute(statement.encode()).fetchall()

    def get(self, version: str, path: str) -> str:
        """What is answered, in a word: well, or what is wrong where."""
        return self._asked(f"http://127.0.0.1:{self._ports[version]}{path}")

    def headers(self, version: str, path: str) -> dict[str, str]:
        """The headers of an answer, by name in lower case. Raises OSError."""
        with urlopen(f"http://127.0.0.1:{self._ports[version]}{path}", timeout=15) as answer:
            return {name.lower(): value for name, value in answer.headers.items()}

    def post(self, version: str, path: str, body: bytes, **headers: str) -> str:
        """The same of a command."""
        named = {"content-type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self._asked(Request(f"http://127.0.0.1:{self._ports[version]}{path}", body, named))

    def _asked(self, request: Request | str) -> str:
        try:
            with urlopen(request, timeout=15):
                return WELL
        except HTTPError as refused:
            return f"{request}: {refused.read().decode()}"
        except (URLError, ConnectionError) as problem:
            return f"{request}: {problem}"

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "refold.api.cli.app", *words]

    def _environment(self, version: str) -> dict[str, str]:
        settings = self.settings.model_copy(update={"domains": [self._domain], "domain_path": [self.room / version]})
        return os.environ | settings.environment() | {"REFOLD_DATA": str(self.room / f"data-{version}")}
