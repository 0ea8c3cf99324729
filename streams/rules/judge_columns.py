"""Judges a chunk by columns: it tests that every record counts. On any doubt it gives no verdict, and `judge` decides.

A verdict is always the same as `judge.judge`'s (tests/streams/test_fold.py runs one set of vectors through both).
"""

from dataclasses import dataclass, replace

import polars as pl

from refold.schemas.columns import envelope as m
from refold.streams.rules.judge import ClaimState

ENVELOPE = (
    m.WRITER,
    m.COMMAND_ID,
    m.BODY_HASH,
    m.CATEGORY,
    m.STREAM,
    m.VERSION,
    m.BASE_VERSION,
    m.SEQ,
    m.INDEX,
    m.COUNT,
    m.COMMAND_OFFSET,
)
_SAME_IN_GROUP = (m.COUNT, m.STREAM, m.COMMAND_ID, m.BASE_VERSION, m.COMMAND_OFFSET, m.BODY_HASH)


@dataclass(frozen=True)
class WholeVerdict:
    """The first `taken` records all count, in whole groups."""

    state: ClaimState
    taken: int


def judge_columns(
    frame: pl.DataFrame, category: str, state: ClaimState, versions: pl.DataFrame, known: int
) -> WholeVerdict | None:
    """The verdict if every whole group takes effect, else None. `frame` has ENVELOPE for every record, in order.

    `versions` (m_stream, stored): the streams' versions before. `known`: how many of the frame's commands have an
    outcome already.
    """
    if state.writer is None or known or frame.is_empty():
        return None
    taken = _whole_groups(frame)
    if taken == 0:
        return None
    whole = frame.head(taken)
    if not _in_sequence(frame, category, state) or not _groups_hold(frame) or not _bases_hold(whole, versions):
        return None
    after = replace(state, next_seq=state.next_seq + taken, last_command_offset=int(whole[m.COMMAND_OFFSET][-1]))
    return WholeVerdict(after, taken)


def _whole_groups(frame: pl.DataFrame) -> int:
    """Number of records up to the end of the last complete group."""
    last = frame.row(-1, named=True)
    return frame.height if last[m.INDEX] == last[m.COUNT] - 1 else frame.height - int(last[m.INDEX]) - 1


def _in_sequence(frame: pl.DataFrame, category: str, state: ClaimState) -> bool:
    assert state.writer is not None
    expected = pl.int_range(state.next_seq, state.next_seq + pl.len(), dtype=pl.Int64)
    return bool(
        frame.select(
            (pl.col(m.WRITER) == pl.lit(state.writer.bytes)).all()
            & (pl.col(m.SEQ) == expected).all()
            & (pl.col(m.CATEGORY) == category).all()
        ).item()
    )


def _groups_hold(frame: pl.DataFrame) -> bool:
    """Whether every record continues its group, or begins one where the previous group ended."""
    ended = (pl.col(m.INDEX).shift(1) == pl.col(m.COUNT).shift(1) - 1).fill_null(value=True)
    index = pl.when(ended).then(0).otherwise(pl.col(m.INDEX).shift(1) + 1)
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in _SAME_IN_GROUP)
    is_event = pl.col(m.VERSION) > pl.col(m.BASE_VERSION)
    version = pl.col(m.BASE_VERSION) + pl.when(is_event).then(pl.col(m.INDEX) + 1).otherwise(0)
    return bool(
        frame.select(
            (
                (pl.col(m.INDEX) == index)
                & (pl.col(m.INDEX) < pl.col(m.COUNT))
                & (ended | same)
                & (pl.col(m.VERSION) == version)
                & (is_event | (pl.col(m.COUNT) == 1))
            ).all()
        ).item()
    )


def _bases_hold(whole: pl.DataFrame, versions: pl.DataFrame) -> bool:
    """Whether each group's base version is the stream's running version, and no command comes twice."""
    groups = whole.filter(pl.col(m.INDEX) == 0).select(
        m.STREAM,
        m.COMMAND_ID,
        m.BASE_VERSION,
        grows=pl.when(pl.col(m.VERSION) > pl.col(m.BASE_VERSION)).then(pl.col(m.COUNT)).otherwise(0).cast(pl.Int64),
    )
    if groups.select(m.STREAM, m.COMMAND_ID).is_duplicated().any():
        return False
    running = groups.join(versions, on=m.STREAM, how="left", maintain_order="left").select(
        m.BASE_VERSION,
        expected=pl.col("stored").fill_null(0) + pl.col("grows").cum_sum().over(m.STREAM) - pl.col("grows"),
    )
    return bool(running.select((pl.col(m.BASE_VERSION) == pl.col("expected")).all()).item())
