"""What the records that count do to the core's tables: outcomes, versions, states, and where the events lie. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, get_type_hints

import msgspec
import polars as pl

from refold.schemas.contracts import Event
from refold.schemas.identity import outcome_key
from refold.streams.decoded import DecodedChunk
from refold.streams.domain import AnyDecider

BROKEN = "broken"
"""The fingerprint of a state that could not be folded: commands to the stream are refused, and say why."""


@dataclass(frozen=True)
class StoredStream:
    """A stream's row as read before the chunk."""

    version: int
    state: bytes | None
    fingerprint: str


Refold = Callable[[str, int], Any]
"""Folds a stream anew up to a version, from the log."""


def outcomes(counted: pl.DataFrame, rejections: pl.DataFrame, start: int, part: int) -> pl.DataFrame:
    """One row for each command that took effect. `counted` has the envelopes of the rows that count, in order."""
    groups = (
        counted.with_columns(group=(pl.col("m_index") == 0).cum_sum())
        .group_by("group", maintain_order=True)
        .agg(
            pl.col("m_category", "m_stream", "m_command_id", "m_body_hash", "m_base_version").first(),
            events=pl.when(pl.col("m_version").first() > pl.col("m_base_version").first())
            .then(pl.len())
            .otherwise(0)
            .cast(pl.Int32),
            first_row=pl.col("row").first(),
            last_row=pl.col("row").last(),
        )
        .join(
            rejections.select("row", "code", "message"),
            left_on="first_row",
            right_on="row",
            how="left",
            maintain_order="left",
        )
    )
    keys = [
        outcome_key(category, stream, command_id)
        for category, stream, command_id in groups.select("m_category", "m_stream", "m_command_id").iter_rows()
    ]
    return groups.select(
        pl.Series("key", keys, dtype=pl.Binary),
        category="m_category",
        stream="m_stream",
        command_id=pl.col("m_command_id").bin.encode("hex"),
        body_hash="m_body_hash",
        code="code",
        message="message",
        base_version="m_base_version",
        events="events",
        part=pl.lit(part, pl.Int32),
        first_offset=pl.col("first_row").cast(pl.Int64) + start,
        next_offset=pl.col("last_row").cast(pl.Int64) + start + 1,
    )


def stream_offsets(counted: pl.DataFrame, start: int, part: int) -> pl.DataFrame:
    """Where each stream's new events lie: one row a stream, its offsets as an array literal."""
    return (
        counted.filter(pl.col("m_version") > pl.col("m_base_version"))
        .group_by("m_category", "m_stream", maintain_order=True)
        .agg(
            first_version=pl.col("m_version").first(),
            offsets=(pl.col("row").cast(pl.Int64) + start).cast(pl.String).str.join(","),
        )
        .select(
            category="m_category",
            stream="m_stream",
            first_version="first_version",
            part=pl.lit(part, pl.Int32),
            offsets=pl.lit("{") + pl.col("offsets") + pl.lit("}"),
        )
    )


def stream_states(
    decider: AnyDecider,
    counted: pl.DataFrame,
    decoded: DecodedChunk,
    before: Mapping[str, StoredStream],
    refold: Refold,
) -> pl.DataFrame:
    """Version and state of each stream after its new events. A state that cannot be folded is BROKEN, not guessed."""
    events = _bodies(decider, decoded)
    per_stream = (
        counted.filter(pl.col("m_version") > pl.col("m_base_version"))
        .group_by("m_stream", maintain_order=True)
        .agg("row", pl.col("m_version").last())
    )
    rows = []
    for stream, its_rows, version in per_stream.iter_rows():
        state, fingerprint = _state(decider, stream, [events.get(row) for row in its_rows], before, refold)
        rows.append((decider.category.name, stream, version, state, fingerprint))
    types = {
        "category": pl.String,
        "stream": pl.String,
        "version": pl.Int64,
        "state": pl.Binary,
        "state_fingerprint": pl.String,
    }
    return pl.DataFrame(rows, schema=types, orient="row")


def _state(
    decider: AnyDecider, stream: str, events: Sequence[Event | None], before: Mapping[str, StoredStream], refold: Refold
) -> tuple[bytes | None, str]:
    stored = before.get(stream)
    if any(event is None for event in events):
        return None, BROKEN
    try:
        if stored is None:
            state = decider.initial
        elif stored.fingerprint == decider.fingerprint:
            state = decider.load(stored.state)
        else:
            state = refold(stream, stored.version)
        return decider.dump(decider.fold(tuple(events), state)), decider.fingerprint
    except Exception:
        return None, BROKEN


def _bodies(decider: AnyDecider, decoded: DecodedChunk) -> dict[int, Event]:
    """The events of the chunk as the author's classes, by row."""
    classes = {cls.__name__: cls for cls in decider.category.events}
    found: dict[int, Event] = {}
    for name, frame in decoded.events.items():
        build = _builder(classes[name])
        fields = classes[name].__struct_fields__
        found.update((row, build(values)) for row, *values in frame.select("row", *fields).iter_rows())
    return found


def _builder(cls: type[Event]) -> Callable[[list[Any]], Event]:
    """How to make an event of its decoded fields: directly, unless a field has a type that columns do not."""
    fields = cls.__struct_fields__
    plain = not any(_is_enum(hint) for hint in get_type_hints(cls).values())
    if plain:
        return lambda values: cls(**dict(zip(fields, values, strict=True)))
    return lambda values: msgspec.convert(dict(zip(fields, values, strict=True)), cls)


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Enum)
