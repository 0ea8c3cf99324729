"""A part of a build: what the events of some chunks add to it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from refold.projections.partials.batch import Counted, Park
from refold.streams.chunk import Place


@dataclass(frozen=True)
class Part:
    """Partial rows of some builds, by number; what else their events say; and the position after them in each place."""

    position: Mapping[Place, int]
    rows: Mapping[int, pl.DataFrame]
    parks: Sequence[Park]
    waiting: Mapping[tuple[str, str], int]
    events: int
    fell_back: int


def part_of(position: Mapping[Place, int], counted: Sequence[Counted], rows: Mapping[int, pl.DataFrame]) -> Part:
    """What the counted events of all categories add."""
    waiting = Counter[tuple[str, str]]()
    for one in counted:
        waiting.update(one.waiting)
    parks = [park for one in counted for park in one.parks]
    events, fell_back = sum(one.events for one in counted), sum(one.fell_back for one in counted)
    return Part(position, rows, parks, waiting, events, fell_back)
