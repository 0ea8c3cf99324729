"""Reactors under load, killed, doubled, and sent back to 0 in the middle: every basket gives its household its points once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from refold.api.cli.stack import Stack
from refold.streams import failpoints
from refold.streams.domain import load_domains
from refold.streams.settings import Settings
from tests.e2e.load import Load
from tests.e2e.tables import assert_equal_totals, number, until

KILLS = 4
_AWARDS = "SELECT coalesce(sum(baskets), 0)::int FROM retail.households"
_STAND = "SELECT count(*)::int FROM refold.positions WHERE grp = 'reactors' AND next_offset > 0"

_AT_WORK = "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'refold-refold-reactors-listen'"


@pytest.mark.e2e
@pytest.mark.timeout(420)
def test_no_household_gets_points_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 after the commands were sent and before the position moved; two processes; positions lost while they run."""
    tmp_path.chmod(0o755)
    armed = tmp_path / "failpoints"
    armed.mkdir()
    monkeypatch.setenv(failpoints.VARIABLE, str(armed))
    with Stack(Settings(data=tmp_path / "data", api_port=0), lambda _: None) as stack:
        stack.wait_until_ready()
        load = Load(stack.settings, load_domains(["retail"]), per_second=60)
        load.start()
        until(lambda: number(stack.settings, _AWARDS) > 10, 90, "no basket was answered")
        for _ in range(KILLS):
            kill_after_sending(stack, armed)
        with another(stack.settings):
            until(lambda: number(stack.settings, _AT_WORK) == 2, 60, "the second process does not run")
            time.sleep(3)
            lose_positions(stack.settings)
            time.sleep(3)
            os.kill(stack.pids()["reactors"], signal.SIGKILL)
            time.sleep(8)
            lose_positions(stack.settings)
        until(lambda: number(stack.settings, _STAND) > 0, 60, "the reactors did not begin again")
        load.stop()
        assert_equal_totals(stack.settings, load.sent)
        repeats = number(
            stack.settings,
            "SELECT (sum(last_command_offset + 1) - (SELECT count(*) FROM refold.outcomes WHERE category = 'retail.household'))::int"
            " FROM refold.claims WHERE category = 'retail.household'",
        )
        assert repeats > 0, "nothing was ever sent twice, so nothing was tested"


def kill_after_sending(stack: Stack, armed: Path) -> None:
    """What was sent is acknowledged, and no position says so."""
    victim = stack.pids()["reactors"]
    (armed / "reactors.after-send").write_text("kill")
    until(lambda: not (armed / "reactors.after-send").exists(), 60, "nothing was sent")
    until(lambda: stack.pids().get("reactors") not in {None, victim}, 30, "the reactors were not started again")


def lose_positions(settings: Settings) -> None:
    """As an operator would, or a restore from before there were any: while processes run."""
    with psycopg.connect(settings.dsn(), autocommit=True) as db:
        db.execute("DELETE FROM refold.positions WHERE grp = 'reactors'")


@contextmanager
def another(settings: Settings) -> Iterator[int]:
    """A second reactors process beside the supervised one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REFOLD_")}
    command = [sys.executable, "-m", "refold.api.cli.app", "worker", "reactors"]
    with subprocess.Popen(command, env=environment | settings.environment(), stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()
            assert process.wait(15) == 0
