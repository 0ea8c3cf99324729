"""The events of a batch stream by stream, each made only when its turn comes: a fold drops them one by one. Pure.

A hundred thousand events held at once would cost Python's garbage collector more than the fold itself.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import polars as pl

from refold.projections.declaring.declaration import EventType
from refold.projections.partials.author_fold import Step
from refold.projections.partials.partial import Frames
from refold.projections.partials.places import PLACE, placed
from refold.schemas.columns import envelope as m
from refold.schemas.columns.decoder import ROW
from refold.schemas.columns.upcast import SUB
from refold.schemas.columns.values import values_of
from refold.schemas.contracts import Event
from refold.schemas.validate import each_from_log

_KIND, _AT, _LAST = "m_kind", "m_at", "m_last"


@dataclass(frozen=True)
class OrderedEvents:
    """The streams of a batch with the number of events of each, and all events in that order, by place in the log."""

    streams: list[str]
    counts: list[int]
    rows: list[int]
    events: Iterator[Step]

    def by_stream(self) -> Iterator[tuple[str, list[int], Iterator[Step]]]:
        """Each stream with the rows of its records and its events. What the caller leaves of these is passed over."""
        begin = 0
        for stream, count in zip(self.streams, self.counts, strict=True):
            steps = islice(self.events, count)
            yield stream, self.rows[begin : begin + count], steps
            deque(steps, maxlen=0)
            begin += count


def ordered_events(frames: Frames) -> OrderedEvents:
    """Order the events of all types. A record has one event, or several that a retired one was upcast to."""
    kinds = list(frames)
    last = pl.col(PLACE)
    if any(SUB in frame.columns for frame in frames.values()):
        last = last.max().over(ROW)
    streams = (
        pl.concat([_heads(number, frames[kind]) for number, kind in enumerate(kinds)])
        .with_columns(last.alias(_LAST))
        .sort(ROW, PLACE)
        .group_by(m.STREAM, maintain_order=True)
        .agg(ROW, PLACE, _LAST, _KIND, _AT)
    )
    counts = streams[ROW].list.len().to_list()
    heads = streams.select(pl.exclude(m.STREAM).explode())
    turns = [_turns(kind, frames[kind], heads, number) for number, kind in enumerate(kinds)]
    events = map(next, map(turns.__getitem__, heads[_KIND].to_list()))
    rows = heads[ROW].to_list()
    steps = zip(rows, heads[PLACE].to_list(), heads[_LAST].to_list(), events, strict=True)
    return OrderedEvents(streams[m.STREAM].to_list(), counts, rows, steps)


def _heads(number: int, frame: pl.DataFrame) -> pl.DataFrame:
    at = pl.int_range(pl.len(), dtype=pl.UInt32).alias(_AT)
    return placed(frame).select(m.STREAM, ROW, PLACE, pl.lit(number, pl.Int64).alias(_KIND), at)


def _turns(kind: EventType, frame: pl.DataFrame, heads: pl.DataFrame, number: int) -> Iterator[Event]:
    """The events of one type in the order in which they are folded."""
    names = kind.event.__struct_fields__
    order = heads.filter(pl.col(_KIND) == number)[_AT]
    return each_from_log([values_of(frame[name].gather(order)) for name in names], frame.height, kind.event)
