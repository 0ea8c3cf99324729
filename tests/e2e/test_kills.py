"""kill -9 under load: of every process, and at every durable step. Nothing acknowledged is lost, nothing counts twice."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from refold.api.cli.stack import Stack
from refold.streams import failpoints
from refold.streams.domain import load_domains
from refold.streams.settings import Settings
from tests.e2e import results
from tests.e2e.conftest import Running
from tests.e2e.load import Load
from tests.e2e.tables import assert_equal_totals, until

VICTIMS = ("handler", "core", "models", "reactors", "api", "kafka", "postgres")


@pytest.mark.e2e
@pytest.mark.timeout(420)
def test_each_process_killed_once(tmp_path: Path) -> None:
    """Handler, core, models, reactors, API, Kafka, Postgres with -9; then the workers by SIGTERM."""
    tmp_path.chmod(0o755)
    with Stack(Settings(data=tmp_path / "data", api_port=0), lambda _: None) as stack:
        stack.wait_until_ready()
        load = Load(stack.settings, load_domains(["retail"]), per_second=60)
        load.start()
        for victim in VICTIMS:
            time.sleep(3)
            kill_and_wait(stack, victim)
        for worker in ("handler", "core", "models", "reactors"):
            end_and_wait(stack, worker)
        time.sleep(3)
        load.stop()
        assert_equal_totals(stack.settings, load.sent)
    results.note("each process killed", kills=len(VICTIMS), ended=4)


@pytest.mark.e2e
@pytest.mark.timeout(420)
def test_killed_at_every_durable_step(running: Running) -> None:
    """Before and after a claim, an append, a write, a commit and a reaction, each once."""
    with running.under_load():
        for name in failpoints.NAMES:
            kill_at(running, name)
    assert_equal_totals(running.settings, running.load.sent)
    results.note("crash points", kills=len(failpoints.NAMES))


def kill_at(running: Running, name: str) -> None:
    """Whoever comes to the failpoint is killed there, and started again."""
    role, stack, armed = name.partition(".")[0], running.stack, running.armed / name
    until(lambda: role in stack.pids(), 30, f"{role} does not run")
    victim = stack.pids()[role]
    armed.write_text("kill")
    if name.endswith("claim"):
        os.kill(victim, signal.SIGKILL)
    until(lambda: not armed.exists(), 60, f"nothing came to {name}")
    until(lambda: stack.pids().get(role) not in {None, victim}, 30, f"{role} was not killed at {name}")


def end_and_wait(stack: Stack, worker: str) -> None:
    """SIGTERM under load ends a worker within seconds: it leaves its group and drops what is not committed."""
    process = psutil.Process(stack.pids()[worker])
    process.terminate()
    try:
        process.wait(8)
    except psutil.TimeoutExpired:
        pytest.fail(f"{worker} did not end on SIGTERM")
    until(lambda: stack.pids().get(worker) not in {None, process.pid}, 30, f"{worker} was not started again")


def kill_and_wait(stack: Stack, victim: str) -> None:
    """kill -9, and wait until the supervisor has started it again."""
    before = stack.pids()[victim]
    os.kill(before, signal.SIGKILL)
    until(lambda: stack.pids().get(victim) not in {None, before}, 60, f"{victim} was not started again")
