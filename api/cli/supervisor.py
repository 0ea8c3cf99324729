"""Keeps processes running: one process group each, restarts with growing delay, labelled output, a common stop."""

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil
from prometheus_client.multiprocess import mark_process_dead

from refold.api.cli.exits import DIFFERENT, PRECONDITION, UNREACHABLE, USAGE
from refold.api.cli.logs import Output, formed, own_line
from refold.api.cli.roles import ADMITTED_VARIABLE, METRICS_VARIABLE, metrics_folder, probe_port, role_command
from refold.api.stop_times import grace_s
from refold.streams.full_disk import is_full
from refold.streams.guard.attempts import forgive
from refold.streams.journal.formats import Form, LineWriter, as_text, form_of
from refold.streams.refusals import STEADY_S
from refold.streams.settings import Settings

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
FINAL = {
    USAGE,
    DIFFERENT,
    PRECONDITION,
}  # a restart would fail the same way until an operator has repaired something
REFUSED_PAUSE_S = 30.0
"""Seconds after which a role that is refused alone is tried again."""


class Child:
    """A named process of a role, and the thread that restarts it and passes its lines on.

    `on_final` is called with an exit code that no restart changes, and returns whether that ends everything.
    """

    def __init__(
        self,
        role: str,
        name: str,
        environment: dict[str, str],
        output: Output,
        on_final: Callable[[int], bool],
        form: Form = as_text,
    ) -> None:
        self.name, self.role = name, role
        self._environment = environment
        self._data = Path(environment["REFOLD_DATA"])
        self._output, self._form = output, form
        self._on_final = on_final
        self._stopping = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._keep_running, name=f"supervise-{name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """The pid of the living process."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> None:
        """Start the process and return at once."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Send SIGTERM, and do not restart."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def join(self, deadline: float) -> None:
        """Wait until the deadline, then kill."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._signal(signal.SIGKILL)
            self._thread.join()

    def _keep_running(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                code = self._run_once()
            except OSError as error:  # processes, descriptors or memory are exhausted, which passes
                self._tell(f"{self.name} cannot be started: {error}")
                code = UNREACHABLE
            if self._stopping.is_set():
                return
            if code in FINAL and self._on_final(code):
                return
            if code in FINAL:
                how = _how_it_ended(code)
                self._tell(f"{self.name} ended ({how}); the others go on. It starts again in {REFUSED_PAUSE_S:g} s")
                self._stopping.wait(REFUSED_PAUSE_S)
                continue
            if time.monotonic() - began > STEADY_S:
                pause = FIRST_PAUSE_S
                self._environment = self._environment | {ADMITTED_VARIABLE: "1"}
            self._tell(f"{self.name} ended ({_how_it_ended(code)}); starting it again in {pause:g} s")
            self._stopping.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _run_once(self) -> int:
        with subprocess.Popen(
            role_command(self.role),
            env=self._environment,
            stdin=subprocess.PIPE,  # held open: its end tells the child that we are gone
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            self._process = process
            if self._stopping.is_set():  # stopped during the start
                process.terminate()
            for line in process.stdout or ():
                if line := line.rstrip("\n"):
                    self._output(self.name, formed(line, self._form, LineWriter(self.name, process.pid)))
            code = process.wait()
        with suppress(OSError):
            if code == -signal.SIGBUS and is_full(self._data):
                self._tell(f"{self.name} died of a full disk ({self._data}), not of a record")
                forgive(self._data / "attempts", process.pid)
        with suppress(OSError):
            mark_process_dead(process.pid, self._environment[METRICS_VARIABLE])  # type: ignore[no-untyped-call]  # prometheus_client has no types there
        return code

    def _tell(self, words: str) -> None:
        self._output(self.name, own_line(self._form, words))

    def _signal(self, number: signal.Signals) -> None:
        if pid := self.pid:
            with suppress(ProcessLookupError):
                os.killpg(pid, number)


class Supervisor:
    """The processes of some roles with the same settings; a role named twice has two processes."""

    def __init__(self, settings: Settings, roles: Iterable[str], output: Output) -> None:
        self._metrics = metrics_folder(settings)
        self._drain_s = settings.api_drain_s
        environment = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
        environment |= {METRICS_VARIABLE: str(self._metrics), "PYTHONUNBUFFERED": "1"}
        form = form_of(settings.log_format)
        self._children = [
            Child(role, name, environment | _given(settings, role, number), output, self._end, form)
            for role, name, number in _named(roles)
        ]
        self._ended = threading.Event()
        self._code = 0
        self._began = time.monotonic()

    def start(self) -> None:
        """Start every process and return at once."""
        empty_metrics(self._metrics)
        self._began = time.monotonic()
        for child in self._children:
            child.start()

    def pids(self) -> dict[str, int]:
        """The living processes by role; the second one of a role is called `role-2`, and so on."""
        return {child.name: pid for child in self._children if (pid := child.pid)}

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait until a process ends everything. Returns its exit code, or None after `seconds`."""
        return self._code if self._ended.wait(seconds) else None

    def stop(self) -> None:
        """Stop every process: SIGTERM at once, a kill after the grace."""
        for child in self._children:
            child.ask_to_stop()
        began = time.monotonic()
        for child in self._children:
            child.join(began + grace_s(child.role, self._drain_s))

    def _end(self, code: int) -> bool:
        """Whether to end everything.

        One refused role does not, if others have run steadily: they can still do their work.
        """
        if time.monotonic() - self._began > STEADY_S and self.pids():
            return False
        self._code = code
        self._ended.set()
        return True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _named(roles: Iterable[str]) -> list[tuple[str, str, int]]:
    number = Counter[str]()
    found = []
    for role in roles:
        number[role] += 1
        found.append((role, role if number[role] == 1 else f"{role}-{number[role]}", number[role]))
    return found


def _given(settings: Settings, role: str, number: int) -> dict[str, str]:
    """The settings of one process, as environment variables. Raises BadSettings."""
    return settings.model_copy(update={"probe_port": probe_port(settings, role, number)}).environment()


def empty_metrics(folder: Path) -> None:
    """Remove the metric files of processes that are gone."""
    with suppress(OSError):  # each role reports it if the metrics are kept elsewhere
        folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.db"):
        pid = path.stem.rpartition("_")[2]
        if not pid.isdigit() or not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)


def _how_it_ended(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
