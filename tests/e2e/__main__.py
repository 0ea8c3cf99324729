"""Runs every test on real servers at full size from one seed: `python -m tests.e2e`.

Ends with the figures as JSON lines.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.e2e import results

_CALLS = ("calls", "ok", "fail", "info")


def main() -> int:
    """The exit code of pytest. Arguments that are not ours go to it."""
    asked = argparse.ArgumentParser(prog="python -m tests.e2e", description=__doc__)
    asked.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of the faults (default: drawn)")
    asked.add_argument("--faults", type=int, default=100)
    asked.add_argument("--rounds", type=int, default=50, help="of zombies")
    asked.add_argument("--believers", type=int, default=180, help="seconds with two handlers that own everything")
    options, rest = asked.parse_known_args()
    print(f"seed {options.seed}", file=sys.stderr)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        noted = Path(folder) / "results"
        sizes = {
            "CHAOS_SEED": options.seed,
            "CHAOS_FAULTS": options.faults,
            "ZOMBIE_ROUNDS": options.rounds,
            "BELIEVERS_S": options.believers,
            "RESTORES": "all",
            "ROLLING_RESTARTS": 10,
            "GAPLESS_ROUNDS": 3,
            "CHANGES_KILLS": 30,
            "DEPLOYS": "there and back",
            "DROPS": "under load",
            "SILENT_S": 40,
            "JUDGES": "all",
            "REPLAY_DEATHS": "all",
            results.VARIABLE: noted,
        }
        environment = os.environ | {name: str(value) for name, value in sizes.items()}
        code = subprocess.run(
            [sys.executable, "-m", "pytest", "tests/e2e", *rest], env=environment, check=False
        ).returncode
        found = [json.loads(line) for line in noted.read_text().splitlines()] if noted.exists() else []
    for line in found:
        print(json.dumps(line))
    print(json.dumps(summary(found) | {"seed": options.seed, "failed": code != 0, "seconds": round(time.monotonic() - began)}))  # fmt: skip
    return code


def summary(found: list[dict[str, int | str]]) -> dict[str, int]:
    """Sums over the tests: what was done to the processes, what clients asked, how many records the reference judged."""
    sums = Counter[str]()
    for line in found:
        for name, value in line.items():
            if isinstance(value, int) and name not in {"seed", "seconds"}:
                sums["kills" if name.startswith(("kill", "leave by SIGKILL")) else name] += value
    wanted = ("faults", "kills", "rounds", "restores", "claims", "voided", "ids", "connections cut", *_CALLS, "records")
    return {name: sums[name] for name in wanted}


if __name__ == "__main__":
    sys.exit(main())
