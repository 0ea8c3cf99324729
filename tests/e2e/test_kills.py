"""kill -9 under load: of every process, and at every durable step. Nothing acknowledged is lost, nothing counts twice."""

import os
import signal
import time
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from statistics import median

import psutil
import pytest

from refold.api.cli.roles import WORKERS
from refold.api.cli.stack import Stack
from refold.streams import failpoints
from refold.streams.domain import load_domains
from refold.streams.settings import Settings
from tests.e2e import results
from tests.e2e.conftest import Running
from tests.e2e.load import Load
from tests.e2e.tables import assert_equal_totals, number, until

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
        after_kill, after_end = list[float](), list[float]()
        for victim in VICTIMS:
            time.sleep(3)
            kill_and_wait(stack, victim)
            after_kill += [seconds_until_at_work(stack.settings, victim)] if victim in WORKERS else []
        for worker in WORKERS:
            end_and_wait(stack, worker)
            after_end.append(seconds_until_at_work(stack.settings, worker))
        load.stop()
        assert_equal_totals(stack.settings, load.sent)
    results.note("each process killed", kills=len(VICTIMS), ended=len(WORKERS))
    results.note("at work again, median", killed_s=round(median(after_kill), 1), ended_s=round(median(after_end), 1))


@pytest.mark.e2e
@pytest.mark.timeout(420)
def test_killed_at_every_durable_step(running: Running) -> None:
    """Before and after a claim, an append, a write, a commit and a reaction, each once; a step of each role at a time."""
    by_role = [[name for name in failpoints.NAMES if name.startswith(f"{role}.")] for role in WORKERS]
    with running.under_load():
        for names in zip_longest(*by_role):
            kill_at(running, [name for name in names if name])
    assert_equal_totals(running.settings, running.load.sent)
    results.note("crash points", kills=len(failpoints.NAMES))


def kill_at(running: Running, names: Sequence[str]) -> None:
    """Whoever comes to one of the failpoints is killed there, and started again."""
    stack, roles = running.stack, {name: name.partition(".")[0] for name in names}
    until(lambda: stack.pids().keys() >= set(roles.values()), 60, f"not all of {roles} run")
    victims = stack.pids()
    for name, role in roles.items():
        running.arm(name, "kill")
        if name.endswith("claim"):
            os.kill(victims[role], signal.SIGKILL)
    for name, role in roles.items():
        until(lambda n=name: not (running.armed / n).exists(), 90, f"nothing came to {name}")  # type: ignore[misc]
        until(lambda r=role: stack.pids().get(r) not in {None, victims[r]}, 60, f"{role} was not killed at {name}")  # type: ignore[misc]


def seconds_until_at_work(settings: Settings, worker: str) -> float:
    """From the start of its successor until that has partitions and goes on with them; the load never pauses."""
    began, before = time.monotonic(), work_done(settings, worker)
    until(lambda: work_done(settings, worker) > before, 60, f"no {worker} goes on with the work")
    return time.monotonic() - began


def work_done(settings: Settings, worker: str) -> int:
    """What only a living worker of that kind makes grow: claims of handlers, positions of folds."""
    if worker == "handler":
        return number(settings, "SELECT coalesce(sum(epoch), 0)::int FROM refold.claims")
    return number(settings, f"SELECT coalesce(sum(next_offset), 0)::int FROM refold.positions WHERE grp = '{worker}'")


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
