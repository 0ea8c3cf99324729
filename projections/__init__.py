"""The read side: declared read models, the fold that keeps them up to date, and the replay that rebuilds them.

Authors need only the names below. Read `declaring` first (what an author writes), then `live` and `replay`.
docs/glossary.md explains our words.
"""

from refold.projections.declaring.declaration import Entity, Rollup, View
from refold.projections.declaring.expressions import (
    OCCURRED_AT,
    STREAM,
    by_event,
    day,
    field,
    hour,
    month,
    quarter,
    week,
    weekday,
    year,
)
from refold.projections.declaring.gathering import events, key
from refold.projections.declaring.links import Link
from refold.projections.errors import BadDeclaration

__all__ = [
    "OCCURRED_AT",
    "STREAM",
    "BadDeclaration",
    "Entity",
    "Link",
    "Rollup",
    "View",
    "by_event",
    "day",
    "events",
    "field",
    "hour",
    "key",
    "month",
    "quarter",
    "week",
    "weekday",
    "year",
]
