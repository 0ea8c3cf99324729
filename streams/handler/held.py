"""A partition of commands that a handler holds: its claim, the commands that wait, and the bounds on both sides."""

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
"""Commands and bytes that may wait in one partition to be decided; and as much may be appended and not folded yet."""


@dataclass
class HeldPartition:
    """A partition of commands that Kafka assigned to this process."""

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
    """The offset of the command that cannot be decided here now; nothing is tried again before `waits_until`."""

    def is_full(self) -> bool:
        """Whether so many commands wait that reading pauses."""
        records = sum(len(chunk.values) for chunk in self.waiting)
        return records > MOST_OUTSTANDING or sum(chunk.size for chunk in self.waiting) > MOST_BYTES

    def has_room(self) -> bool:
        """Whether more may be decided before the core has counted what is appended."""
        return self.holder.outstanding < MOST_OUTSTANDING and self.holder.outstanding_bytes < MOST_BYTES


def say_unclaimable(held: HeldPartition, topic: str, epoch: int) -> None:
    """Log that a forged claim has left no epochs for others. An operator must take it out; other partitions go on."""
    why = f"{held.category}/{held.part} can no longer be claimed: its epochs are used up ({epoch})"
    told = f"{why}; `refold log void {topic} {held.part}` names the claim to take out"
    if waits(held, told):
        _log.error("handler: %s", told, extra=journal.about(of=(held.category, held.part)))
