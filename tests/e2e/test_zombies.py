"""A handler is paused between decide and append, another finishes its work: the first one's records do not count."""

import os
import signal

import psutil
import pytest

from refold.streams.settings import Settings
from tests.e2e import results
from tests.e2e.audited import assert_audit_finds_nothing
from tests.e2e.conftest import Running
from tests.e2e.load import expected, points
from tests.e2e.oracle import assert_tables_are_the_fold_of_the_log
from tests.e2e.site import another
from tests.e2e.tables import assert_equal_totals, awarded, decided, number, until

CLAIMS = "SELECT sum(epoch)::int FROM refold.claims"
VOIDED = "SELECT coalesce(sum(last_offset - first_offset + 1), 0)::int FROM refold.voids WHERE reason = 'void'"
ROUNDS = int(os.environ.get("ZOMBIE_ROUNDS", "2"))


@pytest.mark.e2e
@pytest.mark.timeout(180 + 60 * ROUNDS)
def test_a_zombie_changes_nothing(running: Running) -> None:
    """2 rounds in `make test`, 50 and more in `make test-chaos`."""
    before = number(running.settings, VOIDED)
    with another("handler", running.settings) as other, running.under_load(40):
        for _ in range(ROUNDS):
            one_round(running, other)
    assert_equal_totals(running.settings, running.load.sent)
    found = assert_tables_are_the_fold_of_the_log(running.settings)
    assert_audit_finds_nothing(running.settings)
    voided = number(running.settings, VOIDED) - before
    assert voided >= ROUNDS
    results.note("zombies", rounds=ROUNDS, voided=voided, records=found.records)


def one_round(running: Running, other: int) -> None:
    """Stop whichever handler decides next; wait until the other decided all it left; wake it: its record is void, and it claims."""
    stack, load = running.stack, running.load
    before = number(running.settings, VOIDED)
    running.arm("handler.before-append", "stop")
    handlers = [psutil.Process(stack.pids()["handler"]), psutil.Process(other)]
    until(lambda: any(p.status() == psutil.STATUS_STOPPED for p in handlers), 60, "no handler stopped")
    (zombie,) = [p for p in handlers if p.status() == psutil.STATUS_STOPPED]
    try:
        target = load.sent + 20
        until(lambda: load.sent >= target, 60, "the load stands still")
        until(lambda: all_decided(stack.settings, target), 60, "nobody took over")
        claims = number(running.settings, CLAIMS)
    finally:
        os.kill(zombie.pid, signal.SIGCONT)
    until(lambda: number(running.settings, VOIDED) > before, 60, "what the zombie appended is not void")
    until(lambda: number(running.settings, CLAIMS) > claims, 60, "the zombie did not claim again")


def all_decided(settings: Settings, baskets: int) -> bool:
    """The load's commands and those of the reactor behind them: the zombie stands before a command of either category."""
    if decided(settings, baskets) < expected(baskets).commands:
        return False
    have = awarded(settings)
    return all(household in have and int(str(have[household][0])) >= n for household, (n, _) in points(baskets).items())
