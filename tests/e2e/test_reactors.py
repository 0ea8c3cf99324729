"""Reactors under load, killed, doubled, and sent back to 0: every basket gives its household its points once."""

import os
import signal
import time

import psycopg
import pytest

from refold.streams.settings import Settings
from tests.e2e.conftest import Running
from tests.e2e.site import another
from tests.e2e.tables import assert_equal_totals, number, until

KILLS = 4
_AWARDS = "SELECT coalesce(sum(baskets), 0)::int FROM retail.households"
_STAND = "SELECT count(*)::int FROM refold.positions WHERE grp = 'reactors' AND next_offset > 0"

_REPEATS = (
    "SELECT (sum(last_command_offset + 1)"
    " - (SELECT count(*) FROM refold.outcomes WHERE category = 'retail.household'))::int"
    " FROM refold.claims WHERE category = 'retail.household'"
)
_AT_WORK = (
    "SELECT count(*)::int FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'refold-reactors'"
)


@pytest.mark.e2e
@pytest.mark.timeout(420)
def test_no_household_gets_points_twice(running: Running) -> None:
    """kill -9 after the commands were sent and before the position moved; two processes; positions lost while they run."""
    settings, stack = running.settings, running.stack
    with running.under_load():
        until(lambda: number(settings, _AWARDS) > 10, 90, "no basket was answered")
        for _ in range(KILLS):
            kill_after_sending(running)
        with another("reactors", settings):
            until(lambda: number(settings, _AT_WORK) == 2, 180, "the second process does not run")
            time.sleep(3)
            lose_positions(settings)
            time.sleep(3)
            os.kill(stack.pids()["reactors"], signal.SIGKILL)
            time.sleep(8)
            lose_positions(settings)
        until(lambda: number(settings, _STAND) > 0, 60, "the reactors did not begin again")
    assert_equal_totals(settings, running.load.sent)
    assert number(settings, _REPEATS) > 0, "nothing was ever sent twice, so nothing was tested"


def kill_after_sending(running: Running) -> None:
    """What was sent is acknowledged, and no position says so."""
    victim = running.stack.pids()["reactors"]
    armed = running.arm("reactors.after-send", "kill")
    until(lambda: not armed.exists(), 60, "nothing was sent")
    until(lambda: running.stack.pids().get("reactors") not in {None, victim}, 60, "the reactors were not started again")


def lose_positions(settings: Settings) -> None:
    """As an operator would, or a restore from before there were any: while processes run."""
    with psycopg.connect(settings.dsn(), autocommit=True) as db:
        db.execute("DELETE FROM refold.positions WHERE grp = 'reactors'")
