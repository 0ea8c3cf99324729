"""Tells whether this process takes part in its group's work. It asks no server, so none can hold up the answer.

`refold status` sees all processes from outside; this sees one from inside, with the same words and the same patience.
Only the time in which the process runs counts: a process that was stopped, or whose machine slept, has not stood
still.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from refold.schemas.plurals import counted
from refold.streams import standing
from refold.streams.chunk import Place
from refold.streams.standing import STALE_S
from refold.streams.worker.membership import NO_WORD

DEAD_LOOP_S = 60.0
"""Seconds after which an event loop that has not turned counts as stuck: nothing that takes long runs in the loop."""
_BETWEEN_LOOKS_S = 2.0
_SHOWN = 5


class Reading(Protocol):
    """The reading thread, as this module sees it. Asked in another thread, at any time."""

    def places(self) -> list[Place]: ...
    def last_end(self, place: Place) -> int | None: ...
    def is_settled(self) -> bool: ...


class Working(Protocol):
    """A worker, as this module sees it. Asked in another thread, at any time."""

    def positions(self) -> Mapping[Place, int]: ...


class Check(NamedTuple):
    """The result of one check of this process."""

    name: str
    ok: bool
    detail: str = ""


@dataclass
class _Stood:
    """A place's position, and the time since when it stands there, in seconds of this process's running time."""

    position: int | None
    since: float


class Part:
    """One process's part. One thread calls `look`, `stuck` and `checks`; the working threads call the rest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._looked, self._awake = clock, clock(), 0.0
        self._reading: Reading | None = None
        self._workers: Sequence[Working] = ()
        self._role = ""
        self._idle = self._stopping = ""
        self._turned, self._turned_at = False, 0.0
        self._turns = False
        self._settled_at = 0.0
        self._stood: dict[Place, _Stood] = {}

    def begins(self, role: str, reading: Reading, workers: Sequence[Working]) -> None:
        """Note that the process is prepared, and asks its group for partitions."""
        self._role, self._workers, self._reading = role, workers, reading

    def has_nothing_to_do(self, why: str) -> None:
        """Note that the process has no work, which counts as ready."""
        self._idle = why

    def stops(self) -> None:
        """Note that the process was told to stop."""
        self._stopping = "this process is stopping"

    def turns(self) -> None:
        """Note that the event loop has turned. Called each second from the first call on."""
        self._turned = self._turns = True

    def look(self) -> None:
        """Compare with the last look. To be called each second."""
        now = self._clock()
        self._awake += min(now - self._looked, _BETWEEN_LOOKS_S)
        self._looked = now
        if self._turned or not self._turns:
            self._turned, self._turned_at = False, self._awake
        if self._reading is not None:
            if self._reading.is_settled():
                self._settled_at = self._awake
            self._compare(self._reading)

    def stuck(self) -> str | None:
        """The reason why this process is stuck, whatever the servers do; None if it is not."""
        silent = self._awake - self._turned_at
        return f"its event loop has not run for {silent:.0f} s" if silent > DEAD_LOOP_S else None

    def checks(self) -> list[Check]:
        """The results of all checks now."""
        if self._stopping:
            return [Check("started", ok=False, detail=self._stopping)]
        waits = self._waits()
        if self._idle or self._reading is None:
            return [Check("started", bool(self._idle), self._idle or "it is being prepared"), waits]
        return [Check("started", ok=True), self._assigned(self._reading), waits, self._moves()]

    def _waits(self) -> Check:
        """The waits of this process. One longer than STALE_S is a fault, as it is for `refold status`."""
        found = standing.all_waits()
        longest: dict[str, float] = {}
        for seconds, why in found:  # several parts may wait for the same
            longest.setdefault(why, seconds)
        told = "; ".join(f"waits: {why} ({seconds:.0f} s)" for why, seconds in [*longest.items()][:_SHOWN])
        return Check("waits", all(seconds <= STALE_S for seconds, _ in found), told)

    def _assigned(self, reading: Reading) -> Check:
        """A process to which Kafka assigned no partition takes part, too: it stands by."""
        if reading.is_settled() or (self._settled_at and self._awake - self._settled_at <= STALE_S):
            places = len(reading.places())
            return Check(
                "assigned", ok=True, detail=counted(places, "partitions") if places else "no partition: it stands by"
            )
        return Check("assigned", ok=False, detail=NO_WORD)

    def _compare(self, reading: Reading) -> None:
        positions: dict[Place, int] = {}
        for worker in self._workers:
            positions |= worker.positions()
        ours = reading.places()
        for place in self._stood.keys() - set(ours):
            del self._stood[place]
        for place in ours:
            at, end, before = positions.get(place), reading.last_end(place), self._stood.get(place)
            waits = at is None or (end is not None and end > at)
            if before is None or before.position != at or not waits:
                self._stood[place] = _Stood(at, self._awake)

    def _moves(self) -> Check:
        """Places at which something waits and nothing was applied for STILL_S seconds (`standing`)."""
        still = sorted(place for place, stood in self._stood.items() if self._awake - stood.since > standing.STILL_S)
        if not still:
            return Check("moves", ok=True)
        where = ", ".join(self._where(place) for place in still[:_SHOWN])
        return Check("moves", ok=False, detail=f"does-not-move: the {self._role} does not move on {where}")

    def _where(self, place: Place) -> str:
        at = self._stood[place].position
        return f"{place[0]}/{place[1]} ({'not begun' if at is None else f'stands at {at:,}'})"


HERE = Part()
"""The part of this process."""
