"""One server process: started, recorded, found again by its record or by its mark, stopped."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from refold.api.embedded.belonging import Mark, is_running
from refold.api.embedded.errors import EmbeddedFailed
from refold.api.embedded.unprivileged import Account
from refold.streams.private_files import write_private

LOG_LIMIT = 20_000_000
START_TOLERANCE_S = 2.0
UNRECORDED_BOUND_S = 5.0


class ServerProcess:
    """The process of one server, recorded in `<folder>/pid.json`. `mark` identifies it without a record."""

    def __init__(self, folder: Path, log: Path, mark: Callable[[], Mark]) -> None:
        self.log = log
        self._mark = mark
        self._record = folder / "pid.json"
        self._child: subprocess.Popen[bytes] | None = None
        self._found: psutil.Process | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The pid of the living process."""
        if not self.alive():
            return None
        process = self._child or self._found
        return process.pid if process else None

    def launch(self, command: list[str], cwd: Path, account: Account | None = None) -> None:
        """Start it in a session of its own, so that Ctrl-C in the terminal reaches only us.

        If it cannot be recorded, stop it.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".old.log"))
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._child = subprocess.Popen(
                command,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **(account.popen_arguments() if account else {}),
            )
        started = psutil.Process(self._child.pid).create_time()
        try:
            write_private(self._record, json.dumps({"pid": self._child.pid, "started": started}))
        except OSError as error:
            self.stop(signal.SIGTERM, UNRECORDED_BOUND_S)
            raise EmbeddedFailed(
                f"The server was started and stopped again: {self._record} cannot be written ({error.strerror}).",
                "Free some space, or choose another folder with REFOLD_DATA.",
            ) from error

    def adopt(self) -> bool:
        """Find the process that an earlier parent started, even an unrecorded one. Returns False if it is gone."""
        mark, found = self._mark(), recorded_process(self._record)
        if found is None or not mark.is_on(found):
            found = next(iter(mark.find()), None)
        self._found = found
        if found is not None:
            self._child = None
        return found is not None

    def alive(self) -> bool:
        """Whether it runs."""
        if self._child is not None:
            return self._child.poll() is None
        return self._found is not None and is_running(self._found)

    def stop(self, polite: signal.Signals, bound_s: float) -> None:
        """Send the polite signal, wait, and kill after the bound."""
        for request, patience in ((polite, bound_s), (signal.SIGKILL, 5.0)):
            pid = self.pid
            if pid is None:
                break
            os.kill(pid, request)
            self._wait(patience)
        self._record.unlink(missing_ok=True)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.05)

    def last_words(self) -> str:
        """The most telling line that it logged since its start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = [
                line.strip() for line in log.read()[-100_000:].decode(errors="replace").splitlines() if line.strip()
            ]
        telling = [line for line in lines if any(word in line for word in ("FATAL", "ERROR", "could not", "Exception"))]
        return (telling or lines or ["it said nothing"])[-1][:300]


def recorded_process(record: Path) -> psutil.Process | None:
    """The living process that this file names, unless its pid now belongs to another."""
    try:
        written = json.loads(record.read_text())
        process = psutil.Process(written["pid"])
        same = abs(process.create_time() - written["started"]) < START_TOLERANCE_S
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        OverflowError,
        RecursionError,
        psutil.Error,
    ):  # half a record is none
        return None
    return process if same and is_running(process) else None
