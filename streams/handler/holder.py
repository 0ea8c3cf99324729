"""A handler's hold on one partition: its claim, and the overlay of records that the tables do not show yet. No I/O.

Invariants (docs/log-rules.md gives the reason for each of F1-F8):
- decide only on ONE snapshot whose writer is ours and whose next_seq has reached `floor` (F3);
- forget an appended entry only once a usable snapshot has counted it, never because it was acknowledged (F6);
- a claim is dead once the tables show a later one: forget everything, wait a growing random time, claim again (F1, F2);
- no state lasts without the tables: a claim that they do not show for long is given up, and claimed again (F8).
"""

import random
from collections import deque
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from refold.schemas.meta import RULES
from refold.streams.rules.judge import MOST_AHEAD, ClaimState

_BACKOFF_S, _BACKOFF_MOST_S = 0.2, 5.0
_PATIENCE_S, _PATIENCE_MOST_S = 10.0, 320.0
"""Least seconds that the tables may not show a claim before it is given up: at first, and after many such claims."""


class Mode(Enum):
    """A handler's hold on a partition: no claim, a claim that is not folded yet, or a claim in force."""

    IDLE = "idle"
    WAITING = "waiting"
    OWNING = "owning"


class Change(Enum):
    """The result of a look at the partition's row."""

    NONE = "none"
    OWNED = "owned"
    LOST = "lost"


class Ahead(msgspec.Struct, frozen=True, gc=False):
    """A stream's state and version after the records that this handler appended, and the last such record's seq."""

    state: Any
    version: int
    seq: int


class Holder:
    """The state machine. Times are seconds of any monotonic clock; the system must seed `rng`, except in tests."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._losses = 0
        self._given_up = 0
        self._not_before = 0.0
        self._shown_by: float | None = None
        self.writer: UUID | None = None
        self.floor = 0
        self._forget()

    def wants_claim(self, now: float) -> bool:
        return self.mode is Mode.IDLE and now >= self._not_before

    def claim(self, row: ClaimState | None) -> tuple[int, UUID]:
        """Epoch and writer of the claim to append. Every claim gets a new writer."""
        self._forget()
        writer = UUID(int=self._rng.getrandbits(128), version=4)
        self.writer, self.epoch, self.mode = writer, (row.epoch if row else 0) + 1, Mode.WAITING
        return self.epoch, writer

    def observe(self, row: ClaimState | None, now: float) -> Change:
        """Look at the partition's row: own, wait or lose (F1, F2, F8); evict what is counted (F6).

        A claim that rules 2 no longer let count is lost, too: its epoch is too far beyond the row's, because an operator took out
        the claim before it. If the row is only old (a restored database), the handler claims again, and no harm is done.
        """
        if self.mode is Mode.IDLE:
            return Change.NONE
        if row is not None and row.writer == self.writer:
            if self.mode is Mode.WAITING:
                self.mode, self._losses, self._given_up, self._shown_by = Mode.OWNING, 0, 0, None
                return Change.OWNED
            if row.next_seq >= self.floor:
                self._shown_by = None
                self._evict(row)
                return Change.NONE
        elif row is not None and (
            row.epoch >= self.epoch or (row.rules >= RULES and self.epoch > row.epoch + MOST_AHEAD)
        ):
            self.lose(now)
            return Change.LOST
        if self._is_overdue(now):
            self.lose(now)
            return Change.LOST
        return Change.NONE

    def _is_overdue(self, now: float) -> bool:
        """Whether the tables have not shown the claim, or not enough of it, for long (F8); first starts to count.

        The time doubles with each claim that was given up, until one counts, so it outgrows the core's lag: meanwhile
        nobody decides here, and the lag shrinks.
        """
        if self._shown_by is None:
            patience = min(_PATIENCE_S * 2**self._given_up, _PATIENCE_MOST_S)
            self._shown_by = now + self._rng.uniform(patience, 2 * patience)
        if now < self._shown_by:
            return False
        self._given_up = min(self._given_up + 1, 10)
        return True

    def lose(self, now: float) -> None:
        """Drop everything of a dead claim and back off, longer each time."""
        self._losses += 1
        most = min(_BACKOFF_S * 2 ** min(self._losses, 5), _BACKOFF_MOST_S)
        self._not_before = now + self._rng.uniform(0, most)
        self._forget()

    def usable(self, row: ClaimState | None) -> bool:
        """The guard (F3): whether a snapshot with this row, together with the present overlay, may be decided on."""
        return self.mode is Mode.OWNING and row is not None and row.writer == self.writer and row.next_seq >= self.floor

    def ahead(self, stream: str) -> Ahead | None:
        return self._streams.get(stream)

    def has_decided(self, key: bytes) -> bool:
        return key in self._commands

    def decided(self, key: bytes, records: int, size: int = 0) -> int:
        """Note a command as appended, with its number of records and bytes; gives the seq of its first record."""
        first = self.next_seq
        self.next_seq += records
        self._commands[key] = size
        self.outstanding_bytes += size
        self._order.append((self.next_seq - 1, key, None))
        return first

    def moved(self, stream: str, state: Any, version: int) -> None:
        """Note the stream's state after the command just decided."""
        self._streams[stream] = Ahead(state, version, self.next_seq - 1)
        self._order.append((self.next_seq - 1, None, stream))

    @property
    def outstanding(self) -> int:
        """Number of commands that are appended and that the tables do not show yet."""
        return len(self._commands)

    def _evict(self, row: ClaimState) -> None:
        if not self.usable(row):
            return
        while self._order and self._order[0][0] < row.next_seq:
            seq, key, stream = self._order.popleft()
            self.floor = max(self.floor, seq + 1)
            if key is not None:
                self.outstanding_bytes -= self._commands.pop(key)
            elif stream is not None and self._streams[stream].seq == seq:
                del self._streams[stream]

    def _forget(self) -> None:
        self.mode = Mode.IDLE
        self.writer = None
        self.epoch = 0
        self._shown_by = None
        self.next_seq = 0
        self.floor = 0
        self.outstanding_bytes = 0
        self._commands: dict[bytes, int] = {}
        self._streams: dict[str, Ahead] = {}
        self._order: deque[tuple[int, bytes | None, str | None]] = deque()
