"""A handler stopped between decide and append, another takes over and finishes, the first wakes: none of its records count."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from refold.api.cli.stack import Stack
from refold.streams import failpoints
from refold.streams.domain import load_domains
from refold.streams.settings import Settings
from tests.e2e.load import Load, expected
from tests.e2e.tables import assert_equal_totals, decided, number, until

ROUNDS = int(os.environ.get("ZOMBIE_ROUNDS", "2"))


@pytest.mark.e2e
@pytest.mark.timeout(180 + 60 * ROUNDS)
def test_a_zombie_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2 rounds in `make test`, 50 and more in `make test-chaos`."""
    tmp_path.chmod(0o755)
    armed = tmp_path / "failpoints"
    armed.mkdir()
    monkeypatch.setenv(failpoints.VARIABLE, str(armed))
    with (
        Stack(Settings(data=tmp_path / "data", api_port=0), lambda _: None) as stack,
        another_handler(stack.settings) as other,
    ):
        stack.wait_until_ready()
        load = Load(stack.settings, load_domains(["retail"]), per_second=40)
        load.start()
        for _ in range(ROUNDS):
            one_round(stack, other, armed, load)
        load.stop()
        assert_equal_totals(stack.settings, load.sent)
        assert number(stack.settings, "SELECT count(*)::int FROM refold.voids WHERE reason = 'void'") >= 1


def one_round(stack: Stack, other: int, armed: Path, load: Load) -> None:
    """Stop whichever handler decides next; wait until all it left is decided by the other; wake it."""
    (armed / "handler.before-append").write_text("stop")
    handlers = [psutil.Process(stack.pids()["handler"]), psutil.Process(other)]
    until(lambda: any(p.status() == psutil.STATUS_STOPPED for p in handlers), 60, "no handler stopped")
    (zombie,) = [p for p in handlers if p.status() == psutil.STATUS_STOPPED]
    try:
        target = load.sent + 20
        until(lambda: load.sent >= target, 60, "the load stands still")
        wanted = expected(target).commands
        until(lambda: decided(stack.settings, target) >= wanted, 60, "nobody took over")
    finally:
        os.kill(zombie.pid, signal.SIGCONT)
    time.sleep(2)


@contextmanager
def another_handler(settings: Settings) -> Iterator[int]:
    """A second handler process beside the supervised one."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("REFOLD_")} | settings.environment()
    command = [sys.executable, "-m", "refold.api.cli.app", "worker", "handler"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
