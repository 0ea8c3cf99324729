"""The read side: declared read models, the fold that keeps them up to date, and the replay that builds them again.

The names below are all that an author needs. Read first: `declaring` (what an author writes), then `live` and `replay`. Words of
ours are in docs/glossary.md.
"""

from refold.projections.declaring.declaration import Entity, Rollup, View, events, key
from refold.projections.declaring.expressions import OCCURRED_AT, STREAM, by_event, day, field
from refold.projections.errors import BadDeclaration

__all__ = [
    "OCCURRED_AT",
    "STREAM",
    "BadDeclaration",
    "Entity",
    "Rollup",
    "View",
    "by_event",
    "day",
    "events",
    "field",
    "key",
]
