"""Runs the core as a process: it applies the log's rules to every category's events."""

from refold.schemas.contracts import MAX_EVENTS_PER_COMMAND
from refold.streams.core.folds import core_folds
from refold.streams.settings import Settings
from refold.streams.worker.agents import FoldKind, run_fold

LANES = 2
"""Number of lanes: while Postgres writes for one, the other computes."""


def main(settings: Settings) -> None:
    """Fold until told to stop. Raises LogRefused when the log is not the one that the tables were folded from."""
    run_fold(settings, core_folds(settings, LANES, stand=True), FoldKind(keys=True, whole=MAX_EVENTS_PER_COMMAND))
