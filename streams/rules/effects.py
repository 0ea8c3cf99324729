"""The effects of records that count on the core's tables: outcomes, versions, states, and the events' offsets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg

from refold.schemas.contracts import Event
from refold.schemas.errors import NewerSchema
from refold.streams.chunk import Chunk
from refold.streams.domain import AnyDecider
from refold.streams.errors import LogCorrupt, LogRefused, NewerRules, Refused, Unreachable
from refold.streams.rules.judge import ClaimState

BROKEN = "broken"
"""Fingerprint of a state that could not be folded: commands to the stream are refused with the reason."""
NEWER = "newer"
"""Fingerprint of a state that only newer code can fold. Such code folds it at its next use; until then nothing is
decided."""
Columns = Mapping[str, Sequence[Any] | pl.Series]
"""Rows to write, column by column."""
Void = tuple[int, int, str]
"""First and last offset of a range that does not count, and the reason."""
FoldStream = Callable[[str, int], Any]
"""Folds a stream from the log again, up to a version."""


@dataclass(frozen=True)
class StoredStream:
    """A stream's row before the chunk."""

    version: int
    state: bytes | None
    fingerprint: str


@dataclass(frozen=True)
class Before:
    """The tables' rows for the chunk's streams and commands, before it; `first`: the partition has no row yet."""

    state: ClaimState
    last_hash: bytes
    first: bool
    streams: Mapping[str, StoredStream]
    known: frozenset[bytes]


@dataclass(frozen=True)
class Effects:
    """New rows for `outcomes`, `streams` and `stream_offsets`, all of one partition."""

    category: str
    part: int
    outcomes: Columns
    streams: Columns
    offsets: Columns


@dataclass(frozen=True)
class Folded:
    """The end of a chunk under the rules, the partition's state there, and the effects; `newer`: why it stops early."""

    chunk: Chunk
    state: ClaimState
    effects: Effects | None
    voids: Sequence[Void] = ()
    newer: NewerRules | None = None


def state_after(
    decider: AnyDecider, stream: str, events: Sequence[Event | NewerSchema | None], before: Before, refold: FoldStream
) -> tuple[bytes | None, str]:
    """A stream's state after some events, and its fingerprint. If it cannot be folded, BROKEN or NEWER; never guessed.

    Corrupt bytes of earlier events count as NEWER: a later reader folds the state.
    """
    stored = before.streams.get(stream)
    if any(event is None for event in events):
        return None, BROKEN
    if any(isinstance(event, NewerSchema) for event in events):
        return None, NEWER
    try:
        if stored is None:
            state = decider.initial
        elif stored.fingerprint == decider.fingerprint:
            state = decider.load(stored.state)
        else:
            state = refold(stream, stored.version)
        return decider.dump(decider.fold(tuple(events), state)), decider.fingerprint
    except (NewerSchema, LogCorrupt):
        return None, NEWER
    except (
        psycopg.Error,
        Unreachable,
        Refused,
        LogRefused,
    ):  # not about the events: the whole transaction is tried again
        raise
    except Exception:  # an author's evolve may fail in any way; only its stream is held
        return None, BROKEN
