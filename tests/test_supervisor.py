"""The supervisor over small processes: restarts, labels, stops, and dies without leaving any behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from refold.api.cli import supervisor
from refold.api.cli.roles import processes
from refold.api.cli.supervisor import Supervisor
from refold.api.http.doors.door import Door
from refold.api.http.server import server_config
from refold.api.stop_times import grace_s
from refold.streams.journal.formats import read
from refold.streams.settings import Settings

LONG = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


class Lines(list[tuple[str, str]]):
    """An output that remembers the words of lines."""

    def __call__(self, role: str, line: str) -> None:
        found = read(line)
        assert found is not None, "whatever a process writes has the form of a line"
        self.append((role, found.message))

    def until(self, wanted: tuple[str, str], count: int = 1) -> None:
        eventually(lambda: self.count(wanted) >= count)


def eventually(holds: Callable[[], bool], bound_s: float = 60.0) -> None:
    deadline = time.monotonic() + bound_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether the process runs; one whose parent has not asked for its end yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Supervisor, Lines]]]:
    started: list[Supervisor] = []

    def start(program: str | dict[str, str], *roles: str) -> tuple[Supervisor, Lines]:
        by_role = dict.fromkeys(roles, program) if isinstance(program, str) else program
        monkeypatch.setattr(supervisor, "role_command", lambda role: [sys.executable, "-c", by_role[role]])
        lines = Lines()
        started.append(Supervisor(Settings(data=tmp_path), roles, lines))
        started[-1].start()
        return started[-1], lines

    yield start
    for each in started:
        each.stop()


Run = Callable[..., tuple[Supervisor, Lines]]


def test_a_role_named_twice_has_two_processes(run: Run) -> None:
    watched, lines = run(LONG, *processes(Settings(handlers=2), ("handler", "core")))
    names = {"handler", "handler-2", "core"}
    for name in names:
        lines.until((name, "up"))
    assert set(watched.pids()) == names
    assert len(set(watched.pids().values())) == len(names)


def test_lines_carry_their_role_and_a_killed_process_comes_back(run: Run) -> None:
    watched, lines = run(LONG, "core", "models")
    lines.until(("core", "up"))
    lines.until(("models", "up"))
    first = watched.pids()
    os.kill(first["core"], signal.SIGKILL)
    lines.until(("core", "up"), count=2)
    assert ("core", "core ended (SIGKILL); starting it again in 0.2 s") in lines
    assert watched.pids()["core"] != first["core"]
    assert watched.pids()["models"] == first["models"]


def test_restarts_slow_down(run: Run) -> None:
    _, lines = run("raise SystemExit(5)", "core")
    lines.until(("core", "core ended (exit code 5); starting it again in 0.4 s"))


@pytest.mark.parametrize("code", [2, 4])
def test_what_a_restart_cannot_help_ends_the_supervisor(run: Run, code: int) -> None:
    watched, _ = run(f"raise SystemExit({code})", "core")
    assert watched.wait(60) == code


def test_a_role_that_is_refused_later_ends_no_other_and_is_tried_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that lost its tail, say: the API still answers what it can."""
    monkeypatch.setattr(supervisor, "STEADY_S", 0.2)
    monkeypatch.setattr(supervisor, "REFUSED_PAUSE_S", 0.2)
    refused = "import time; print('up', flush=True); time.sleep(0.5); raise SystemExit(4)"
    watched, lines = run({"core": refused, "api": LONG}, "core", "api")
    lines.until(("core", "up"), count=2)
    assert ("core", "core ended (exit code 4); the others go on. It starts again in 0.2 s") in lines
    assert watched.wait(0) is None
    assert "api" in watched.pids()
    assert lines.count(("api", "up")) == 1


def test_a_role_that_is_refused_when_no_other_runs_ends_the_supervisor(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "STEADY_S", 0.2)
    watched, _ = run("import time; time.sleep(0.5); raise SystemExit(4)", "core")
    assert watched.wait(60) == 4


def test_stop_stops_all_and_kills_the_stubborn(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "grace_s", lambda role, _: 0.3 if role == "core" else 0.5)
    watched, lines = run(STUBBORN, "core", "api")
    lines.until(("core", "up"))
    lines.until(("api", "up"))
    pids = watched.pids()
    watched.stop()
    assert not watched.pids()
    assert not any(lives(pid) for pid in pids.values())


def test_an_api_may_take_as_long_as_it_promises_to_its_requests_and_a_worker_less() -> None:
    """What it waits for: its drain, the requests in flight, and what it closes then."""
    promised = 2.0 + (server_config(Settings(api_port=0), _no_app, Door([])).timeout_graceful_shutdown or 0)
    assert promised < grace_s("api", 2.0) <= promised + 5
    assert grace_s("core", 2.0) < grace_s("api", 2.0)


async def _no_app(*_: object) -> None:
    """Answers nothing."""


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    child = "from refold.api.cli import roles; import threading, time; "
    child += "threading.Thread(target=roles._stop_with_parent, args=(8,), daemon=True).start(); print('up', flush=True); time.sleep(60)"
    parent = f"""
import sys, time
from pathlib import Path
from refold.api.cli import supervisor
from refold.api.cli.roles import processes
from refold.streams.settings import Settings
supervisor.role_command = lambda _: [sys.executable, "-c", {child!r}]
watched = supervisor.Supervisor(Settings(data=Path({str(tmp_path)!r})), ["core"], lambda role, line: print(watched.pids()[role], flush=True))
watched.start()
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        process.kill()
    eventually(lambda: not lives(pid))


def test_metric_files_of_the_dead_are_removed(tmp_path: Path) -> None:
    for name in ("counter_999999999.db", f"counter_{os.getpid()}.db"):
        (tmp_path / name).touch()
    supervisor.empty_metrics(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"counter_{os.getpid()}.db"]
