"""A partition of commands in a handler's hands: its claim, what waits to be decided, and how much of it there may be."""

import logging
from collections import deque
from dataclasses import dataclass, field

from refold.streams import journal
from refold.streams.chunk import Chunk
from refold.streams.handler.holder import Holder
from refold.streams.handler.incoming import CommandReader
from refold.streams.standing import waits

_log = logging.getLogger(__name__)
MOST_OUTSTANDING = 20_000
MOST_BYTES = 64 << 20
"""Of a partition: of commands that wait to be decided, and again of records that are appended and not folded yet."""


@dataclass
class Held:
    """A partition of commands that the group gave to this process."""

    category: str
    part: int
    assignment: int | None
    holder: Holder
    commands: CommandReader
    generation: int = -1
    paused: bool = True
    waiting: deque[Chunk] = field(default_factory=deque)
    waits_until: float = 0.0
    undecided: int | None = None
    """Until when nothing is tried again, and the command that cannot be decided here now."""

    def is_full(self) -> bool:
        """Whether enough commands wait."""
        records = sum(len(chunk.values) for chunk in self.waiting)
        return records > MOST_OUTSTANDING or sum(chunk.size for chunk in self.waiting) > MOST_BYTES

    def has_room(self) -> bool:
        """Whether more may be decided before the core has counted what is appended."""
        return self.holder.outstanding < MOST_OUTSTANDING and self.holder.outstanding_bytes < MOST_BYTES


def say_unclaimable(held: Held, topic: str, epoch: int) -> None:
    """Say that a forged claim has left no epochs for others: an operator takes it out, and other partitions go on."""
    why = f"{held.category}/{held.part} can be claimed by nobody: its epochs are used up ({epoch})"
    told = f"{why}; `refold log void {topic} {held.part}` says which claim to take out"
    if waits(held, told):
        _log.error("handler: %s", told, extra=journal.about(of=(held.category, held.part)))
