"""One place as its fold sees it: the records that wait, the position, and the time since when it stands. Pure.

nothing kept ──keep──► some kept ──too much──► paused
      ▲────── settle ──────┘ ◄────── settle ─────┘    move: from any state to nothing kept, at another position
"""

from dataclasses import dataclass

from refold.streams.chunk import Chunk

MOST_BYTES = 64 << 20
"""Bytes of a place's records that may wait for its fold. At more of them, or too many records, its reader pauses."""


@dataclass
class FoldPlace:
    """`kept`: waiting records, without gaps. `reached`: position, if known. `since`: when it last moved or idled."""

    kept: Chunk | None = None
    reached: int | None = None
    since: float = 0.0
    paused: bool = False

    def keep(self, chunk: Chunk) -> bool:
        """Add a chunk to what waits, or replace chunks from before a seek. False if records are missing in between."""
        before = self.kept
        if before is None or before.generation != chunk.generation:
            self.kept = chunk
        elif before.end == chunk.start:
            self.kept = before.then(chunk)
        else:
            return False
        return True

    def settle(self, at: int, now: float, most: int) -> bool | None:
        """Note the position `at`. True: the reader must pause (from `most` records on). False: it may go on again."""
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
        """Note a position elsewhere: drop what waits; the reader goes on unpaused from the new position."""
        self.kept, self.reached, self.since, self.paused = None, at, now, False

    def drop(self) -> None:
        """Drop what waits, because it was read before a seek or the place is no longer ours."""
        self.kept, self.paused = None, False

    def holds(self, at: int) -> bool:
        """Whether a position lies within what waits."""
        return self.kept is not None and self.kept.start <= at <= self.kept.end
