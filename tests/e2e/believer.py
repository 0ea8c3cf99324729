"""`python -m tests.e2e.believer worker handler`: a handler in a group of its own, so it believes that every partition is its.

So do two for a while after a rebalance of which one has not heard; this one never hears.
"""

import sys

from refold.api.cli.roles import run_role
from refold.streams.handler import process
from refold.streams.settings import Settings

if __name__ == "__main__":
    process.GROUP = "believer"  # type: ignore[attr-defined]  # another module's name, replaced on purpose
    run_role(sys.argv[2], Settings.load())
