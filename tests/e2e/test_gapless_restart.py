"""A second process of each role is started, then the first is stopped, under load: no partition stands still for long."""

import os
import signal
import subprocess
import time
from pathlib import Path
from statistics import median

import pytest

from refold.api.cli.roles import WORKERS
from refold.streams.domain import load_domains
from refold.streams.reactors.declared import reacted_categories
from refold.streams.settings import Settings
from tests.conftest import settings_for
from tests.e2e.conftest import until_shown
from tests.e2e.load import LINES, Load
from tests.e2e.results import note
from tests.e2e.site import LEAVE_S, start_worker
from tests.e2e.standing import StandingStill
from tests.e2e.tables import assert_equal_totals, awarded, query, until

ROUNDS = int(os.environ.get("GAPLESS_ROUNDS", "0"))
COMMANDS_A_SECOND = 100
SETTLE_S = 2.5
BOUND_S = 30.0
"""Far above the figure that is noted: a loaded machine must not fail the test."""


@pytest.mark.e2e
@pytest.mark.skipif(not ROUNDS, reason="the restarts alone take a minute: `make test-chaos` runs it")
@pytest.mark.timeout(600)
def test_no_partition_stands_still_when_a_new_process_starts_before_the_old_one_stops(
    kafka: str, database: str, tmp_path: Path
) -> None:
    settings = settings_for(kafka, database, tmp_path / "data")
    domains = load_domains(settings.domains)
    load = Load(settings, domains, per_second=COMMANDS_A_SECOND / (LINES + 2), batch=1)
    running = {role: start_worker(role, settings) for role in WORKERS}
    found: dict[tuple[str, str], list[float]] = {}
    try:
        until_shown(settings)
        load.start()
        until(lambda: len(awarded(settings)) > 0, 60, "no basket was answered")
        with StandingStill(settings, domains, reacted_categories(domains)) as watch:
            for _ in range(ROUNDS):
                for role in WORKERS:
                    for step, seconds in restarted(settings, running, role, watch).items():
                        found.setdefault((role, step), []).append(seconds)
        load.stop()
        assert_equal_totals(settings, load.sent)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    for (role, step), all_seconds in found.items():
        note(f"gapless {role} {step}", median_s=round(median(all_seconds), 2), most_s=round(max(all_seconds), 2))
    assert max(seconds for each in found.values() for seconds in each) < BOUND_S, found


def restarted(
    settings: Settings, running: dict[str, subprocess.Popen[bytes]], role: str, watch: StandingStill
) -> dict[str, float]:
    """The longest stand in seconds: of the quiet time before, as the new process joins, and as the old one leaves."""
    watch.begin()
    time.sleep(SETTLE_S)
    stands = {"before": watch.longest(role)}
    watch.begin()
    old, running[role] = running[role], start_worker(role, settings)
    try:
        until(lambda: running[role].pid in members(settings, role), 180, f"the new {role} is no member of its group")
        time.sleep(SETTLE_S)
        stands["joins"] = watch.longest(role)
        watch.begin()
        old.send_signal(signal.SIGTERM)
        assert old.wait(LEAVE_S) == 0
        time.sleep(SETTLE_S)
        stands["leaves"] = watch.longest(role)
    finally:
        old.kill()
        old.wait()
    return stands


def members(settings: Settings, role: str) -> set[object]:
    """Ids of the role's processes that say that their group has admitted them."""
    rows = query(settings, "SELECT pid, role FROM refold.processes WHERE jsonb_path_exists(standing, '$[*].member')")
    return {pid for pid, its_role in rows if its_role == role}
