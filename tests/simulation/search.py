"""Runs many seeds, and finds the shortest run of a seed that breaks an invariant."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.simulation.reference import Violation
from tests.simulation.schedule import Schedule


@dataclass(frozen=True)
class Failure:
    """A seed that broke an invariant: replay it with `python -m tests.simulation --replay SEED --limit LIMIT`."""

    seed: int
    limit: int
    violation: str
    trace: Sequence[str]

    def __str__(self) -> str:
        steps = " . ".join(self.trace[-60:])
        return f"{self.violation}\n  replay: python -m tests.simulation --replay {self.seed} --limit {self.limit}\n  {steps}"


def explore(seeds: Iterable[int]) -> tuple[Counter[str], Failure | None]:
    """Counts of what happened, and the first failure, shrunk."""
    counts: Counter[str] = Counter()
    logging.disable(logging.CRITICAL)
    try:
        for seed in seeds:
            found = broken(seed)
            if isinstance(found, Failure):
                return counts, shrunk(found)
            counts.update(schedules=1, steps=found.steps, faults=found.faults, records=len(found.world.values))
    finally:
        logging.disable(logging.NOTSET)
    return counts, None


def broken(seed: int, limit: int = 1000, ban: Sequence[str] = ()) -> Failure | Schedule:
    """Run one seed."""
    schedule = Schedule(seed, ban, limit)
    try:
        schedule.run()
    except (Violation, AssertionError) as problem:
        return Failure(seed, limit, f"{type(problem).__name__} {problem}", schedule.trace)
    return schedule


def shrunk(failure: Failure) -> Failure:
    """The same seed with the fewest steps of trouble before the calm that still breaks the same invariant."""
    for limit in range(121):
        found = broken(failure.seed, limit)
        if isinstance(found, Failure) and found.violation[:13] == failure.violation[:13]:
            return found
    return failure


def caught(seeds: Iterable[int], ban: Sequence[str]) -> int | None:
    """How many seeds it took to see that something is broken; None if all of them held."""
    logging.disable(logging.CRITICAL)
    try:
        for number, seed in enumerate(seeds, 1):
            if isinstance(broken(seed, ban=ban), Failure):
                return number
    finally:
        logging.disable(logging.NOTSET)
    return None
