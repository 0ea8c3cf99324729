"""Notices a process that its consumer group has forgotten.

librdkafka waits for the answer to a join up to max.poll.interval.ms, which is five minutes. All that time nobody
reads this process' partitions, though it seems to be well. So a process that is assigned nothing for 45 s, while the
broker answers, starts again. (One of four long chaos runs had such a stall: a handler lost its session while Kafka's
connections were in trouble, and was assigned nothing for 276 s.)
"""

import time
from collections.abc import Callable

from refold.streams.standing import MEMBERS, goes_on, waits

FORGOTTEN_S = 45.0
NO_WORD = "its consumer group has not assigned its partitions: Kafka is away, or the group is rebalancing"


class Membership:
    """Learns of each assignment, even an empty one, and of each loss. Only the reader's thread changes it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = clock()

    def assigned(self, member_id: str = "") -> None:
        """Note the group's assignment, even an empty one, and the broker's name for us."""
        self._since = None
        MEMBERS[id(self)] = member_id

    def revoked(self) -> None:
        """Note that places were taken away: a new assignment is due."""
        self._since = self._clock()

    def is_settled(self) -> bool:
        """Whether the last assignment stands. Any thread may ask."""
        return self._since is None

    def tell(self) -> None:
        """Publish whether this process waits for an assignment."""
        if self._since is None:
            goes_on(self)
        else:
            waits(self, NO_WORD)

    def is_overdue(self) -> bool:
        """Whether an assignment has been due for FORGOTTEN_S. If so, the wait begins again."""
        if self._since is None or self._clock() - self._since < FORGOTTEN_S:
            return False
        self._since = self._clock()
        return True
