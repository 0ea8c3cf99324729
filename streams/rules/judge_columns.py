"""The rules of the log by columns: expect everything valid and test that; on any doubt say so, and `fold` decides.

Same verdict as `fold.judge` wherever it gives one (tests/streams/test_fold.py runs one set of vectors through both).
"""

from dataclasses import dataclass, replace

import polars as pl

from refold.streams.rules.judge import ClaimState

ENVELOPE = (
    "m_writer",
    "m_command_id",
    "m_body_hash",
    "m_category",
    "m_stream",
    "m_version",
    "m_base_version",
    "m_seq",
    "m_index",
    "m_count",
    "m_command_offset",
)
_SAME_IN_GROUP = ("m_count", "m_stream", "m_command_id", "m_base_version", "m_command_offset", "m_body_hash")


@dataclass(frozen=True)
class WholeVerdict:
    """All of the first `taken` records count, group after group."""

    state: ClaimState
    taken: int


def judge_columns(
    frame: pl.DataFrame, category: str, state: ClaimState, versions: pl.DataFrame, known: int
) -> WholeVerdict | None:
    """The verdict if every whole group takes effect, else None. `frame` has ENVELOPE for every record, in order.

    `versions` (m_stream, stored) are the streams' versions before; `known` counts the frame's commands that have an outcome.
    """
    if state.writer is None or known or frame.is_empty():
        return None
    taken = _whole_groups(frame)
    if taken == 0:
        return None
    whole = frame.head(taken)
    if not _in_sequence(frame, category, state) or not _groups_hold(frame) or not _bases_hold(whole, versions):
        return None
    after = replace(state, next_seq=state.next_seq + taken, last_command_offset=int(whole["m_command_offset"][-1]))
    return WholeVerdict(after, taken)


def _whole_groups(frame: pl.DataFrame) -> int:
    """Records up to the end of the last complete group."""
    last = frame.row(-1, named=True)
    return frame.height if last["m_index"] == last["m_count"] - 1 else frame.height - int(last["m_index"]) - 1


def _in_sequence(frame: pl.DataFrame, category: str, state: ClaimState) -> bool:
    assert state.writer is not None
    expected = pl.int_range(state.next_seq, state.next_seq + pl.len(), dtype=pl.Int64)
    return bool(
        frame.select(
            (pl.col("m_writer") == pl.lit(state.writer.bytes)).all()
            & (pl.col("m_seq") == expected).all()
            & (pl.col("m_category") == category).all()
        ).item()
    )


def _groups_hold(frame: pl.DataFrame) -> bool:
    """Every record begins a group where the one before it ended, or continues it."""
    ended = (pl.col("m_index").shift(1) == pl.col("m_count").shift(1) - 1).fill_null(value=True)
    index = pl.when(ended).then(0).otherwise(pl.col("m_index").shift(1) + 1)
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in _SAME_IN_GROUP)
    is_event = pl.col("m_version") > pl.col("m_base_version")
    version = pl.col("m_base_version") + pl.when(is_event).then(pl.col("m_index") + 1).otherwise(0)
    return bool(
        frame.select(
            (
                (pl.col("m_index") == index)
                & (pl.col("m_index") < pl.col("m_count"))
                & (ended | same)
                & (pl.col("m_version") == version)
                & (is_event | (pl.col("m_count") == 1))
            ).all()
        ).item()
    )


def _bases_hold(whole: pl.DataFrame, versions: pl.DataFrame) -> bool:
    """Each group's base version is the stream's running version, and no command comes twice."""
    groups = whole.filter(pl.col("m_index") == 0).select(
        "m_stream",
        "m_command_id",
        "m_base_version",
        grows=pl.when(pl.col("m_version") > pl.col("m_base_version"))
        .then(pl.col("m_count"))
        .otherwise(0)
        .cast(pl.Int64),
    )
    if groups.select("m_stream", "m_command_id").is_duplicated().any():
        return False
    running = groups.join(versions, on="m_stream", how="left", maintain_order="left").select(
        "m_base_version",
        expected=pl.col("stored").fill_null(0) + pl.col("grows").cum_sum().over("m_stream") - pl.col("grows"),
    )
    return bool(running.select((pl.col("m_base_version") == pl.col("expected")).all()).item())
