"""A partition of commands that a handler holds: its claim, the commands that wait, and the bounds on both sides."""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from refold.schemas.identity import outcome_key
from refold.streams import journal
from refold.streams.chunk import Chunk
from refold.streams.errors import Unreachable
from refold.streams.handler.decide import Incoming
from refold.streams.handler.holder import Holder
from refold.streams.handler.incoming import CommandReader
from refold.streams.handler.ports import Away, Wanted
from refold.streams.standing import waits

_log = logging.getLogger(__name__)
MOST_OUTSTANDING = 20_000
MOST_BYTES = 64 << 20
"""Commands and bytes that may wait in one partition to be decided; and as much may be appended and not folded yet."""


_BATCH, _BATCH_BYTES = 1_000, 8 << 20


@dataclass(frozen=True)
class Batch:
    """Commands of one partition that are decided together, and the rows that they need."""

    commands: Sequence[Incoming]
    wanted: Wanted


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

    def head(self, now: float) -> Chunk | None:
        """The commands to decide next; None if the partition cannot go on now."""
        if not self.waiting or not self.has_room() or now < self.waits_until:
            return None
        return self.waiting[0].first(_BATCH, _BATCH_BYTES)

    def batch(self, head: Chunk) -> Batch:
        """The head's records as commands. Raises Away."""
        try:
            commands = self.commands.read(head)
        except Unreachable as problem:  # a schema has to be read from the log, which does not answer now
            raise Away(str(problem)) from problem
        keys = [outcome_key(self.category, command.stream, command.command_id) for command in commands]
        return Batch(commands, Wanted(self.category, self.part, keys, {command.stream for command in commands}))

    def drop_before(self, reached: int) -> None:
        """Forget the waiting commands before an offset of the first chunk, or at its end."""
        rest = self.waiting[0].since(reached)
        if rest.values:
            self.waiting[0] = rest
        else:
            self.waiting.popleft()


def say_unclaimable(held: HeldPartition, topic: str, epoch: int) -> None:
    """Log that a forged claim has left no epochs for others. An operator must take it out; other partitions go on."""
    why = f"{held.category}/{held.part} can no longer be claimed: its epochs are used up ({epoch})"
    told = f"{why}; `refold log void {topic} {held.part}` names the claim to take out"
    if waits(held, told):
        _log.error("handler: %s", told, extra=journal.about(of=(held.category, held.part)))
