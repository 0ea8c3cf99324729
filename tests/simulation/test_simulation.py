"""Tests the write side by a seeded scheduler: thousands of schedules keep every invariant, and no mutant survives."""

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.search import Failure, broken, caught, explore, shrunk

BATCHES, EACH = 10, 500


@pytest.mark.timeout(300)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_schedules(batch: int) -> None:
    """5,000 schedules in `make test`; `make test-deep` runs 100,000 from a seed of its own."""
    counts, failure = explore(range(batch * EACH, (batch + 1) * EACH))
    assert failure is None, str(failure)
    assert counts["schedules"] == EACH
    assert counts["faults"] > EACH


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant: Mutant) -> None:
    """With the rule taken out an invariant breaks."""
    with mutant.applied():
        assert caught(range(5000), mutant.ban) is not None


def test_a_failure_is_shrunk_and_replayable() -> None:
    """The printed seed and limit break the same invariant again, with fewer steps."""
    mutant = next(m for m in MUTANTS if m.name == "outcome looked up only in Postgres")
    with mutant.applied():
        _, failure = explore(range(100))
        assert failure is not None
        again = broken(failure.seed, failure.limit)
        assert isinstance(again, Failure)
        assert (again.violation, again.trace) == (failure.violation, failure.trace)
        assert shrunk(failure).limit <= failure.limit < 1000
