"""Replay commands under load: kill -9 at every durable step, and Kafka and Postgres killed while one stands in the middle."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from refold.api.cli.stack import Stack
from refold.streams import exit_codes, failpoints
from refold.streams.domain import load_domains
from refold.streams.settings import Settings
from tests.e2e import results
from tests.e2e.conftest import Running
from tests.e2e.load import Load
from tests.e2e.tables import assert_equal_totals, query, until

ALL = "REPLAY_DEATHS" in os.environ
REBUILD = ("rebuild", "--all", "--execute")
AS_OF = ("as-of", "--all", "--occurred-before", "2026-01-01", "--name", "n")
TIDY = (("prune", "--unpromoted", "--execute"), ("snapshots", "drop", "--older-than", "0m", "--execute"))
COMMANDS: dict[str, tuple[str, ...]] = {
    "replay.within-flush": REBUILD,
    "replay.after-flush": ("verify", "--all"),
    "replay.before-take": ("verify", "store_daily", "product_sales", "--processes", "2"),
    "replay.before-join": REBUILD,
    "replay.after-join": REBUILD,
    "replay.before-meet": ("verify", "--all"),
    "replay.after-meet": ("verify", "--all"),
    "replay.before-keep": AS_OF,
    "replay.within-keep": AS_OF,
    "replay.after-keep": AS_OF,
    "replay.before-switch": REBUILD,
    "replay.within-switch": ("rollback", "baskets", "store_daily", "--execute"),
    "replay.after-switch": ("rollback", "baskets", "store_daily", "--execute"),
    "replay.within-prune": ("prune", "--execute"),
    "replay.after-prune": ("prune", "--execute"),
}
"""The command that dies at each failpoint; rollback and prune find the builds that a rebuild has retired."""
_EQUAL = "SELECT (SELECT sum(revenue) FROM retail.store_daily) = (SELECT sum(total) FROM retail.baskets)"


def begin(settings: Settings, armed: Path, *command: str) -> "subprocess.Popen[str]":
    environment: Mapping[str, str] = {**os.environ, **settings.environment(), failpoints.VARIABLE: str(armed)}
    words = [sys.executable, "-m", "refold.api.cli.app", "replay", *command]
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def run(settings: Settings, armed: Path, *command: str) -> int:
    process = begin(settings, armed, *command)
    _, said = process.communicate(timeout=200)
    assert process.returncode in {0, -signal.SIGKILL}, f"{command}: {process.returncode}: {said}"
    return process.returncode


def ended_with(settings: Settings, armed: Path, *command: str) -> int:
    process = begin(settings, armed, *command)
    process.communicate(timeout=300)
    return process.returncode


def arm(folder: Path, name: str, action: str) -> Path:
    fresh = folder / f"{name}.new"
    fresh.write_text(action)
    return fresh.replace(folder / name)


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_killed_at_each_durable_step_a_replay_goes_on_and_live_tables_stay_right(
    running: Running, tmp_path: Path
) -> None:
    """One step in a usual run, every one with REPLAY_DEATHS. Afterwards a verify finds every table as the log gives it."""
    names = list(COMMANDS) if ALL else ["replay.within-flush"]
    settings = running.settings
    with running.under_load(20):
        for name in names:
            run(settings, tmp_path, *REBUILD)
            arm(tmp_path, name, "kill")
            assert run(settings, tmp_path, *COMMANDS[name]) == -signal.SIGKILL, name
            assert query(settings, _EQUAL) == [(True,)], f"two models of two moments after {name}"
            if name not in {"replay.after-switch", "replay.after-prune", "replay.after-keep"}:
                assert run(settings, tmp_path, *COMMANDS[name]) == 0
            for tidy in TIDY:
                assert run(settings, tmp_path, *tidy) == 0
    assert run(settings, tmp_path, "verify", "--all") == 0
    assert_equal_totals(settings, running.load.sent)
    results.note("replays killed at a durable step", kills=len(names))


@pytest.mark.e2e
@pytest.mark.skipif(
    not ALL, reason="kills servers of its own for minutes: REPLAY_DEATHS=all, as make test-chaos says it"
)
@pytest.mark.timeout(1200)
def test_kafka_or_postgres_killed_in_the_middle_of_a_replay(tmp_path: Path) -> None:
    """The command stands still at a flush meanwhile. It waits for Kafka, unless live folding waits for it; else it is run again."""
    tmp_path.chmod(0o755)
    armed = tmp_path / "failpoints"
    armed.mkdir()
    with Stack(Settings(data=tmp_path / "data", api_port=0), lambda _: None) as stack:
        stack.wait_until_ready()
        load = Load(stack.settings, load_domains(["retail"]), per_second=20)
        load.start()
        shown, enough = "SELECT to_regclass('retail.baskets') IS NOT NULL", "SELECT count(*) > 100 FROM retail.baskets"
        until(lambda: query(stack.settings, shown) == [(True,)], 90, "no table of baskets")  # workers make it
        until(lambda: query(stack.settings, enough) == [(True,)], 90, "no baskets")
        ended = []
        for victim in ("kafka", "postgres"):
            for command in (REBUILD, ("verify", "--all"), (*AS_OF[:-1], f"n-{victim}")):
                place = arm(armed, "replay.within-flush", "stop")
                process = begin(stack.settings, armed, *command)
                until(lambda: not place.exists(), 90, "the replay did not flush")  # noqa: B023 - called at once
                before = stack.pids()[victim]
                os.kill(before, signal.SIGKILL)
                until(lambda: stack.pids().get(victim) not in {None, before}, 90, f"{victim} did not come back")  # noqa: B023 - called at once
                psutil.Process(process.pid).resume()
                _, said = process.communicate(timeout=300)
                ended.append(process.returncode)
                assert process.returncode == exit_codes.UNREACHABLE or (victim, process.returncode) == ("kafka", 0), (
                    said
                )
                if process.returncode:
                    assert f"{'kafka' if victim == 'kafka' else 'database'}-unavailable" in said
                    until(lambda: ended_with(stack.settings, armed, *command) == 0, 300, "it does not go on")  # noqa: B023 - called at once
        load.stop()
        assert run(stack.settings, armed, "verify", "--all") == 0
        assert_equal_totals(stack.settings, load.sent)
    results.note("servers killed in the middle of a replay", kills=len(ended))
