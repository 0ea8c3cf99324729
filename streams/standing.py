"""The state that this process reports while it runs: its handler's progress, and the reasons why work waits."""

import time
from uuid import UUID

from refold.streams.chunk import Place

STANDING: dict[Place, tuple[UUID, int]] = {}
"""For each commands partition, the writer of our claim and the next offset that is neither decided nor passed over. The
tables do not show it if the last commands are repeats, since nothing is appended for these."""

MEMBERS: dict[int, str] = {}
"""The broker's member ids of this process, by the object that joined."""

STILL_S = 30.0
"""Seconds without an applied record after which a waiting part counts as standing still."""
STALE_S = 10.0
"""Seconds of silence after which a process counts as dead."""

_WAITS: dict[int, tuple[float, str]] = {}


def waits(who: object, why: str) -> bool:
    """Note why a part of the process waits. True if the reason is new, so it should be logged (once)."""
    since, said = _WAITS.get(id(who), (time.monotonic(), ""))
    _WAITS[id(who)] = since, why
    return why != said


def goes_on(who: object) -> None:
    """Note that the part goes on. Costs nothing if no part waits."""
    if _WAITS:
        _WAITS.pop(id(who), None)


def all_waits() -> list[tuple[float, str]]:
    """Seconds that each part has waited, and why; the longest first."""
    now = time.monotonic()
    return [(now - since, why) for since, why in sorted(_WAITS.copy().values())]


def waits_longest() -> tuple[float, str] | None:
    """The longest wait in seconds, and why."""
    return next(iter(all_waits()), None)
