"""What the records that count do to the core's tables: outcomes, versions, states, and where the events lie."""

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
"""The fingerprint of a state that could not be folded: commands to the stream are refused, and say why."""
NEWER = "newer"
"""The fingerprint of a state that only newer code can fold: whoever can does so when it is next needed; nothing is decided before."""
Columns = Mapping[str, Sequence[Any] | pl.Series]
"""Rows to write, column by column."""
Void = tuple[int, int, str]
"""First and last offset of a range that does not count, and why."""
FoldStream = Callable[[str, int], Any]
"""Folds a stream anew up to a version, from the log."""


@dataclass(frozen=True)
class StoredStream:
    """A stream's row as read before the chunk."""

    version: int
    state: bytes | None
    fingerprint: str


@dataclass(frozen=True)
class Before:
    """What the tables say before a chunk, of the streams and commands in it; `first`: the partition has no row yet."""

    state: ClaimState
    last_hash: bytes
    first: bool
    streams: Mapping[str, StoredStream]
    known: frozenset[bytes]


@dataclass(frozen=True)
class Effects:
    """Rows for `outcomes`, `streams` and `stream_offsets`, all of one partition of a category."""

    category: str
    part: int
    outcomes: Columns
    streams: Columns
    offsets: Columns


@dataclass(frozen=True)
class Folded:
    """How far a chunk goes under the rules, the partition's state after it, and what it does; `newer`: why it goes no further."""

    chunk: Chunk
    state: ClaimState
    effects: Effects | None
    voids: Sequence[Void] = ()
    newer: NewerRules | None = None


def state_after(
    decider: AnyDecider, stream: str, events: Sequence[Event | NewerSchema | None], before: Before, refold: FoldStream
) -> tuple[bytes | None, str]:
    """A stream's state and its fingerprint after some events. One that cannot be folded is BROKEN, or NEWER, not guessed.

    Where bytes of earlier events are corrupt it is left to whoever reads them anew, as with newer code.
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
    ):  # says nothing of the events: all of the transaction is tried again
        raise
    except Exception:  # an author's evolve may fail in any way; the stream is held, nothing else
        return None, BROKEN
