"""kill -9 of every process under load and at every durable step: nothing acknowledged is lost or counts twice."""

import os
import signal
import time
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import psutil
import pytest

from refold.api.cli.roles import WORKERS
from refold.api.cli.stack import Stack
from refold.streams import failpoints
from refold.streams.domain import load_domains
from refold.streams.kafka import clients
from refold.streams.log.topics import events_topic
from refold.streams.settings import Settings
from tests.e2e import results
from tests.e2e.conftest import Running
from tests.e2e.load import Load
from tests.e2e.site import start_worker
from tests.e2e.tables import assert_equal_totals, query, until

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
        for worker in WORKERS:
            end_and_wait(stack, worker)
        time.sleep(3)
        load.stop()
        assert_equal_totals(stack.settings, load.sent)
    results.note("each process killed", kills=len(VICTIMS), ended=len(WORKERS))


@pytest.mark.e2e
@pytest.mark.timeout(420)
def test_killed_at_every_durable_step(running: Running) -> None:
    """Before and after a claim, an append, a write, a commit and a reaction, each once; a step of each role at a time."""
    by_role = [[name for name in failpoints.NAMES if name.startswith(f"{role}.")] for role in WORKERS]
    with running.under_load():
        for names in zip_longest(*by_role):
            kill_at(running, [name for name in names if name])
    assert_equal_totals(running.settings, running.load.sent)
    results.note("crash points", kills=sum(map(len, by_role)))


@pytest.mark.e2e
@pytest.mark.timeout(240)
def test_who_stands_by_takes_over(running: Running) -> None:
    """Of two cores one ends: asked to, it leaves its group; killed, Kafka waits for its session. The other takes its partitions."""
    waits = {}
    with running.under_load():
        for number in (signal.SIGTERM, signal.SIGKILL):
            second = start_worker("core", running.settings)
            try:
                until(lambda: both_have_partitions(running.settings, "core"), 60, "the second core got no partition")
                second.send_signal(number)
                waits[number.name] = round(seconds_until_all_move(running.settings, "core"), 1)
            finally:
                second.kill()
                second.wait()
    assert_equal_totals(running.settings, running.load.sent)
    results.note("taken over by another core", seconds_after_sigterm=waits["SIGTERM"], after_sigkill=waits["SIGKILL"])


def both_have_partitions(settings: Settings, role: str) -> bool:
    """Whether Kafka's group of the role has two members, each with some partitions."""
    name = f"{settings.topic_prefix}refold-{role}"
    admin = clients.admin(settings.kafka_servers())
    described = admin.describe_consumer_groups([name])[name].result(10)
    shares = [member.assignment.topic_partitions for member in described.members if member.assignment]
    return len(shares) == 2 and all(shares)


def seconds_until_all_move(settings: Settings, group: str) -> float:
    """Until every partition of baskets, which are all under load, stands further than now."""
    began, before = time.monotonic(), basket_positions(settings, group)
    until(
        lambda: all(at > before[part] for part, at in basket_positions(settings, group).items()),
        60,
        "some partition stands still",
    )
    return time.monotonic() - began


def basket_positions(settings: Settings, group: str) -> dict[Any, Any]:
    topic = events_topic(settings.topic_prefix, "retail.basket")
    found: list[Any] = query(
        settings, f"SELECT part, next_offset FROM refold.positions WHERE grp = '{group}' AND topic = '{topic}'"
    )
    return dict(found)


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
        until(lambda n=name: not (running.armed / n).exists(), 90, f"nothing came to {name}")  # type: ignore[misc]  # mypy infers no type for a lambda with a bound default
        until(lambda r=role: stack.pids().get(r) not in {None, victims[r]}, 60, f"{role} was not killed at {name}")  # type: ignore[misc]  # as above


def end_and_wait(stack: Stack, worker: str) -> None:
    """SIGTERM under load ends a worker: it leaves its group and drops what is not committed."""
    process = psutil.Process(stack.pids()[worker])
    process.terminate()
    try:
        process.wait(60)
    except psutil.TimeoutExpired:
        pytest.fail(f"{worker} did not end on SIGTERM")
    until(lambda: stack.pids().get(worker) not in {None, process.pid}, 60, f"{worker} was not started again")


def kill_and_wait(stack: Stack, victim: str) -> None:
    """kill -9, and wait until the supervisor has started it again."""
    before = stack.pids()[victim]
    os.kill(before, signal.SIGKILL)
    until(lambda: stack.pids().get(victim) not in {None, before}, 60, f"{victim} was not started again")
