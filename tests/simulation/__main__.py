"""`python -m tests.simulation`: runs many schedules on all cores, every mutant, or one seed; ends with a JSON line."""

import argparse
import json
import multiprocessing
import secrets
import sys
import time
from collections import Counter

from tests.simulation.mutants import MUTANTS
from tests.simulation.search import Failure, broken, caught, explore

BATCH = 250


def main() -> int:
    """0 if all held and every mutant was caught."""
    asked = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    asked.add_argument("--schedules", type=int, default=100_000)
    asked.add_argument(
        "--seed", type=int, default=secrets.randbelow(10**9), help="first seed (default: drawn, and printed)"
    )
    asked.add_argument("--replay", type=int, help="run one seed and print its steps")
    asked.add_argument("--limit", type=int, default=1000, help="steps of trouble in a replay")
    options = asked.parse_args()
    if options.replay is not None:
        return replay(options.replay, options.limit)
    return search(options.schedules, options.seed)


def replay(seed: int, limit: int) -> int:
    found = broken(seed, limit)
    print(found if isinstance(found, Failure) else "holds: " + " . ".join(found.trace))
    return int(isinstance(found, Failure))


def search(schedules: int, first: int) -> int:
    began, counts = time.monotonic(), Counter[str]()
    batches = [range(at, min(at + BATCH, first + schedules)) for at in range(first, first + schedules, BATCH)]
    with multiprocessing.Pool() as pool:
        for done, (found, failure) in enumerate(pool.imap_unordered(explore, batches), 1):
            counts += found
            if failure is not None:
                print(failure)
                return 1
            if done % 20 == 0 or done == len(batches):
                rate = counts["schedules"] / (time.monotonic() - began)
                print(f"{counts['schedules']:,} of {schedules:,} schedules, {rate:,.0f}/s", file=sys.stderr)
    survivors = [mutant.name for mutant in MUTANTS if not _is_caught(mutant.name)]
    print(json.dumps({"seed": first, **counts, "violations": 0, "mutants": len(MUTANTS), "mutants_caught": len(MUTANTS) - len(survivors), "seconds": round(time.monotonic() - began)}))  # fmt: skip
    return int(bool(survivors))


def _is_caught(name: str) -> bool:
    mutant = next(m for m in MUTANTS if m.name == name)
    with mutant.applied():
        number = caught(range(20_000), mutant.ban)
    print(f"  {name}: {'caught by schedule ' + str(number) if number is not None else 'NOT CAUGHT'}", file=sys.stderr)
    return number is not None


if __name__ == "__main__":
    sys.exit(main())
