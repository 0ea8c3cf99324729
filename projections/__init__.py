"""The read side: declared read models, the fold that keeps them up to date, and the replay that rebuilds them.

Authors need only the names below. Read `declaring` first (what an author writes), then `live` and `replay`.
docs/glossary.md explains our words.
"""

from refold.projections.declaring.conditions import not_
from refold.projections.declaring.declaration import Entity, Evolve, Rollup, View
from refold.projections.declaring.event_table import EventTable, cell
from refold.projections.declaring.expressions import (
    ACTOR,
    CATEGORY,
    CORRELATION_ID,
    EVENT_TYPE,
    OCCURRED_AT,
    RECORDED_AT,
    STREAM,
    VERSION,
    between,
    bucket,
    by_event,
    carried,
    case,
    coalesce,
    concat,
    day,
    divide,
    field,
    hour,
    left,
    length,
    lower,
    month,
    quarter,
    step,
    trim,
    upper,
    week,
    weekday,
    year,
)
from refold.projections.declaring.formulas import column, computed, difference, duration, ratio, share
from refold.projections.declaring.gathering import events, key, rejections
from refold.projections.declaring.history import History
from refold.projections.declaring.links import Link
from refold.projections.declaring.payload import PAYLOAD
from refold.projections.errors import BadDeclaration

__all__ = [
    "ACTOR",
    "CATEGORY",
    "CORRELATION_ID",
    "EVENT_TYPE",
    "OCCURRED_AT",
    "PAYLOAD",
    "RECORDED_AT",
    "STREAM",
    "VERSION",
    "BadDeclaration",
    "Entity",
    "EventTable",
    "Evolve",
    "History",
    "Link",
    "Rollup",
    "View",
    "between",
    "bucket",
    "by_event",
    "carried",
    "case",
    "cell",
    "coalesce",
    "column",
    "computed",
    "concat",
    "day",
    "difference",
    "divide",
    "duration",
    "events",
    "field",
    "hour",
    "key",
    "left",
    "length",
    "lower",
    "month",
    "not_",
    "quarter",
    "ratio",
    "rejections",
    "share",
    "step",
    "trim",
    "upper",
    "week",
    "weekday",
    "year",
]
