"""A handler in a group of its own, which believes that every partition is its own.

Run it as `python -m tests.e2e.believer worker handler`. After a rebalance two handlers believe so for a while, until
one has heard of it; this one never hears.
"""

import sys

from refold.api.cli.roles import run_role
from refold.streams.handler import process
from refold.streams.settings import Settings

if __name__ == "__main__":
    process.GROUP = "believer"  # type: ignore[attr-defined]  # another module's name, replaced on purpose
    run_role(sys.argv[2], Settings.load())
