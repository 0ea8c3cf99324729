"""What this process says of itself while it runs: how far its handler has come, and what its work waits for."""

import time
from uuid import UUID

from refold.streams.chunk import Place

STANDING: dict[Place, tuple[UUID, int]] = {}
"""By partition of commands its claim's writer, and the next offset that is neither decided nor passed over. The tables do not show
it where the last commands are repeats, since nothing is appended for these."""

MEMBERS: dict[int, str] = {}
"""What the broker calls this process in its group, by who has joined."""

STILL_S = 30.0
"""Where something waits and nothing was applied for so long, somebody stands still."""
STALE_S = 10.0
"""A process that said nothing for so long is dead."""

_WAITS: dict[int, tuple[float, str]] = {}


def waits(who: object, why: str) -> bool:
    """Some part of the process cannot go on now, and will try again; whether it has not said so yet: a log is told once."""
    since, said = _WAITS.get(id(who), (time.monotonic(), ""))
    _WAITS[id(who)] = since, why
    return why != said


def goes_on(who: object) -> None:
    """It has gone on. Costs nothing where it never waited."""
    if _WAITS:
        _WAITS.pop(id(who), None)


def all_waits() -> list[tuple[float, str]]:
    """For how many seconds each part has waited, and for what; the longest first."""
    now = time.monotonic()
    return [(now - since, why) for since, why in sorted(_WAITS.copy().values())]


def waits_longest() -> tuple[float, str] | None:
    """For how many seconds some part has waited, and for what."""
    return next(iter(all_waits()), None)
