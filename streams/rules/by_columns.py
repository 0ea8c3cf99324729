"""Applies the rules to a chunk by columns. This is the ordinary case, in which every record counts."""

from collections.abc import Mapping, Sequence

import polars as pl

from refold.schemas.columns import envelope as m
from refold.schemas.columns.decoder import ROW
from refold.schemas.columns.values import values_of
from refold.schemas.contracts import Event
from refold.schemas.identity import outcome_key
from refold.schemas.validate import all_from_log
from refold.streams.domain import AnyDecider
from refold.streams.rules.decoded import DecodedChunk
from refold.streams.rules.effects import Before, Columns, Effects, Folded, FoldStream, state_after
from refold.streams.rules.judge_columns import judge_columns


class ByColumns:
    """A decoded chunk. `streams` and `keys`: the rows of the tables that the rules need."""

    def __init__(self, decoded: DecodedChunk, envelopes: pl.DataFrame, category: str) -> None:
        self._decoded, self._envelopes = decoded, envelopes
        self.streams: Sequence[str] = envelopes[m.STREAM].unique().to_list()
        firsts = envelopes.filter(pl.col(m.INDEX) == 0)
        named = zip(firsts[m.STREAM].to_list(), firsts[m.COMMAND_ID].to_list(), strict=True)
        self.keys: Sequence[bytes] = [outcome_key(category, stream, command_id) for stream, command_id in named]

    def fold(self, decider: AnyDecider, before: Before, refold: FoldStream) -> Folded | None:
        """The effects, or None if some whole group has no effect: then `by_rows` decides."""
        decoded = self._decoded
        versions = pl.DataFrame(
            {m.STREAM: list(before.streams), "stored": [row.version for row in before.streams.values()]},
            schema={m.STREAM: pl.String, "stored": pl.Int64},
        )
        whole = judge_columns(self._envelopes, decider.category.name, before.state, versions, len(before.known))
        if whole is None:
            return None
        counted, start, part = self._envelopes.head(whole.taken), decoded.chunk.start, decoded.chunk.part
        effects = Effects(
            decider.category.name,
            part,
            _outcomes(counted, self.keys, decoded.rejections, start),
            _streams(decider, counted, decoded, before, refold),
            _offsets(counted, start),
        )
        return Folded(decoded.chunk.upto(start + whole.taken), whole.state, effects)


def _outcomes(counted: pl.DataFrame, keys: Sequence[bytes], rejections: pl.DataFrame, start: int) -> Columns:
    """One row per command that took effect. The groups and the keys both count from the chunk's first group on."""
    groups = (
        counted.with_columns(group=(pl.col(m.INDEX) == 0).cum_sum())
        .group_by("group", maintain_order=True)
        .agg(
            pl.col(m.STREAM, m.COMMAND_ID, m.BODY_HASH, m.BASE_VERSION).first(),
            events=pl.when(pl.col(m.VERSION).first() > pl.col(m.BASE_VERSION).first())
            .then(pl.len())
            .otherwise(0)
            .cast(pl.Int32),
            first_row=pl.col(ROW).first(),
            last_row=pl.col(ROW).last(),
        )
        .join(
            rejections.select(ROW, "code", "message"),
            left_on="first_row",
            right_on=ROW,
            how="left",
            maintain_order="left",
        )
    )
    offsets = groups.select(
        first_offset=pl.col("first_row").cast(pl.Int64) + start,
        next_offset=pl.col("last_row").cast(pl.Int64) + start + 1,
    )
    return {
        "key": keys[: groups.height],
        "command_id": groups[m.COMMAND_ID].to_list(),
        "body_hash": groups[m.BODY_HASH].to_list(),
        "stream": groups[m.STREAM],
        "code": groups["code"],
        "message": groups["message"],
        "base_version": groups[m.BASE_VERSION],
        "events": groups["events"],
        "first_offset": offsets["first_offset"],
        "next_offset": offsets["next_offset"],
    }


def _offsets(counted: pl.DataFrame, start: int) -> Columns:
    """The offsets of each stream's new events: one row per stream, with an array literal."""
    found = (
        counted.filter(pl.col(m.VERSION) > pl.col(m.BASE_VERSION))
        .group_by(m.STREAM, maintain_order=True)
        .agg(
            first_version=pl.col(m.VERSION).first(),
            offsets=(pl.col(ROW).cast(pl.Int64) + start).cast(pl.String).str.join(","),
        )
    )
    offsets = found.select(pl.lit("{") + pl.col("offsets") + pl.lit("}")).to_series()
    return {"stream": found[m.STREAM], "first_version": found["first_version"], "offsets": offsets}


def _streams(
    decider: AnyDecider, counted: pl.DataFrame, decoded: DecodedChunk, before: Before, refold: FoldStream
) -> Columns:
    """Version and state of each stream after its new events."""
    events = _bodies(decider, decoded)
    per_stream = (
        counted.filter(pl.col(m.VERSION) > pl.col(m.BASE_VERSION))
        .group_by(m.STREAM, maintain_order=True)
        .agg(ROW, pl.col(m.VERSION).last())
    )
    upcast = decoded.upcast
    states = [
        state_after(decider, stream, _in_turn(rows, events, upcast), before, refold)
        for stream, rows, _ in per_stream.iter_rows()
    ]
    return {
        "stream": per_stream[m.STREAM],
        "version": per_stream[m.VERSION],
        "state": [state for state, _ in states],
        "state_fingerprint": [fingerprint for _, fingerprint in states],
    }


def _in_turn(
    rows: Sequence[int], events: Mapping[int, Event], upcast: Mapping[int, tuple[Event, ...] | None]
) -> list[Event | None]:
    """The events of some records in order, None for an unreadable one."""
    if not upcast:
        return [events.get(row) for row in rows]
    return [event for row in rows for event in (upcast[row] or (None,) if row in upcast else (events.get(row),))]


def _bodies(decider: AnyDecider, decoded: DecodedChunk) -> dict[int, Event]:
    """Today's events in the chunk as the author's classes, by row."""
    classes = {cls.__name__: cls for cls in decider.category.events}
    found: dict[int, Event] = {}
    for name, frame in decoded.events.items():
        if name not in classes:  # retired: `upcast` has today's events for it
            continue
        rows = frame[ROW].to_list()
        columns = [values_of(frame[field]) for field in classes[name].__struct_fields__]
        found.update(zip(rows, all_from_log(columns, frame.height, classes[name]), strict=True))
    return found
