"""One place as its fold sees it: what waits, how far it is folded, since when it stands there. Pure.

EMPTY ──keep──► WAITING ──too much──► FULL
  ▲───────── settled ─────┘ ◄──── settled ─┘        moved: from any state to EMPTY, at another position
"""

from dataclasses import dataclass
from enum import Enum

from refold.streams.chunk import Chunk

MOST_BYTES = 64 << 20
"""Bytes of a place's records that may wait for its fold. At more of them, or too many records, its reader pauses."""


class FoldState(Enum):
    """Of one place."""

    EMPTY = "nothing waits"
    WAITING = "something waits"
    FULL = "so much waits that the reader pauses"


@dataclass
class FoldPlace:
    """`kept`: what waits, dense. `reached`: the position, None before it is known. `since`: when it last moved or had nothing to do."""

    kept: Chunk | None = None
    reached: int | None = None
    since: float = 0.0
    paused: bool = False

    @property
    def state(self) -> FoldState:
        """Its name."""
        return FoldState.FULL if self.paused else FoldState.EMPTY if self.kept is None else FoldState.WAITING

    def keep(self, chunk: Chunk) -> bool:
        """Keep a chunk behind what waits; what was read before a seek gives way. False: records are missing in between."""
        before = self.kept
        if before is None or before.generation != chunk.generation:
            self.kept = chunk
        elif before.end == chunk.start:
            self.kept = before.then(chunk)
        else:
            return False
        return True

    def settle(self, at: int, now: float, most: int) -> bool | None:
        """It is folded up to `at`. Whether its reader is to pause (True) or to go on (False); None: as before. `most`: records."""
        assert self.kept is not None
        if self.reached != at:
            self.reached, self.since = at, now
        rest = self.kept.since(at)
        self.kept = rest if rest.values else None
        full = len(rest.values) >= most or rest.size >= MOST_BYTES
        if full == self.paused:
            return None
        self.paused = full
        return full

    def move(self, at: int, now: float) -> None:
        """Its position is elsewhere: what waits is of no use, and what is read from there flows."""
        self.kept, self.reached, self.since, self.paused = None, at, now, False

    def drop(self) -> None:
        """What waits was read before a seek, or the place is not ours: whatever is given to us anew flows."""
        self.kept, self.paused = None, False

    def holds(self, at: int) -> bool:
        """Whether a position lies within what waits."""
        return self.kept is not None and self.kept.start <= at <= self.kept.end
