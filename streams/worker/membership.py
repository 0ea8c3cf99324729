"""Whether the group still has a place for this process.

librdkafka waits for the answer to a join as long as max.poll.interval.ms, five minutes in which nobody reads this process' partitions
while it seems to be well. So a process that was given nothing for 45 s, though the broker answers, begins anew. (Of four long chaos
runs one had such a stall: a handler lost its session while Kafka's connections were in trouble, and was assigned nothing for 276 s.)
"""

import time
from collections.abc import Callable

from refold.streams.standing import MEMBERS, goes_on, waits

FORGOTTEN_S = 45.0
NO_WORD = "its group has not given it its partitions: Kafka is away, or the group is being balanced"


class Membership:
    """Told of each assignment, even an empty one, and of each loss; used by the reader's thread alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = clock()

    def assigned(self, member_id: str = "") -> None:
        """The group has given its word, be it that there is nothing for us, and the broker has named us."""
        self._since = None
        MEMBERS[id(self)] = member_id

    def revoked(self) -> None:
        """Something was taken away: the group's next word is due."""
        self._since = self._clock()

    def is_settled(self) -> bool:
        """Whether the group has given its word. May be asked in any thread."""
        return self._since is None

    def tell(self) -> None:
        """Say of this process, as it is, that it waits for the group's word, or that it does not."""
        if self._since is None:
            goes_on(self)
        else:
            waits(self, NO_WORD)

    def is_overdue(self) -> bool:
        """Whether the group's word is due for so long; asked again, it is due from now on."""
        if self._since is None or self._clock() - self._since < FORGOTTEN_S:
            return False
        self._since = self._clock()
        return True
