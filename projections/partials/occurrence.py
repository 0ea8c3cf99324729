"""Chooses events by the time at which they occurred, as their senders said, wherever they stand in the log."""

from dataclasses import replace
from datetime import datetime

import polars as pl

from refold.projections.partials.batch import Counted
from refold.schemas.columns import envelope as m


def occurred(counted: Counted, before: datetime) -> Counted:
    """Only the events that occurred before a time, by their envelopes. Every event has such a time."""
    return replace(
        counted,
        frames={kind: frame.filter(pl.col(m.OCCURRED_AT) < before) for kind, frame in counted.frames.items()},
    )
