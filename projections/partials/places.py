"""The place of an event in its stream: its version, and its number among the events of one upcast record."""

import polars as pl

from refold.schemas.columns import envelope as m
from refold.schemas.columns.upcast import SUB

PLACE = "m_place"
"""Column of an event's place in its stream: version x 1,000 + its number among the events of one upcast record."""
PLACES = 1000


def placed(frame: pl.DataFrame) -> pl.DataFrame:
    """The events with their place in the stream."""
    if PLACE in frame.columns:
        return frame
    at = pl.col(m.VERSION) * PLACES
    return frame.with_columns((at + pl.col(SUB) if SUB in frame.columns else at).alias(PLACE))
