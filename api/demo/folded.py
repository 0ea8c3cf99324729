"""Waits until everything sent is decided and folded, and counts the outcomes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from refold.api.demo.progress import Advance
from refold.api.demo.tables import Tables
from refold.retail.schemas.basket import BASKET
from refold.retail.schemas.product import PRODUCT
from refold.streams.errors import Unreachable
from refold.streams.log.topics import events_topic
from refold.streams.settings import Settings

POLL_S = 0.2
STALLED_S = 300.0

_DECIDED = "SELECT coalesce(sum(next_offset), 0)::bigint FROM refold.positions WHERE grp = %s AND topic = ANY(%s)"
_OUTCOMES = """
SELECT code, count(*), coalesce(sum(events), 0)::bigint
FROM refold.outcomes WHERE category = %s AND stream = ANY(%s) GROUP BY code
"""
_POSITIONS = (
    "SELECT topic, part, next_offset FROM refold.positions WHERE grp = 'core' AND topic = ANY(%s) ORDER BY 1, 2"
)


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of the commands to some streams."""

    rejections: dict[str, int]
    accepted: int
    events: int

    @property
    def rejected(self) -> int:
        """Number of rejected commands."""
        return sum(self.rejections.values())

    @property
    def decided(self) -> int:
        """Number of decided commands."""
        return self.accepted + self.rejected


@dataclass(frozen=True)
class Streams:
    """The streams of the receipts sent, by category."""

    baskets: Sequence[str]
    products: Sequence[str]


class Watch:
    """Watches the tables of one installation."""

    def __init__(
        self,
        settings: Settings,
        tables: Tables,
        ended: Callable[[], int | None],
        categories: Sequence[str] = (BASKET.name, PRODUCT.name),
    ) -> None:
        """`ended` tells whether a process ended for good: then waiting is useless."""
        self._tables, self._prefix, self._ended = tables, settings.topic_prefix, ended
        self._topics = [events_topic(settings.topic_prefix, name) for name in categories]

    def outcomes(self, streams: Streams) -> Outcomes:
        """The outcomes so far of the commands to these streams."""
        found = [
            row
            for category, ids in ((BASKET.name, streams.baskets), (PRODUCT.name, streams.products))
            for row in self._tables.rows(_OUTCOMES, category, list(ids))
        ]
        rejections: dict[str, int] = {}
        for code, count, _ in found:
            if code is not None:
                rejections[code] = rejections.get(code, 0) + count
        return Outcomes(
            rejections, sum(n for code, n, _ in found if code is None), sum(events for _, _, events in found)
        )

    def folded(self, group: str = "core") -> int:
        """Records that a group has folded, over all partitions."""
        return int(self._tables.value(_DECIDED, group, self._topics))

    def position(self) -> str:
        """The core's position, as a client would send it in Refold-Min-Position."""
        rows = self._tables.rows(_POSITIONS, self._topics)
        return ",".join(f"{topic.removeprefix(self._prefix)}/{part}:{at}" for topic, part, at in rows)

    def wait_decided(
        self, streams: Streams, commands: int, markers: Sequence[bytes], tick: Callable[[], None]
    ) -> Outcomes:
        """Wait, within reason, until everything before the markers is decided and all commands have outcomes."""
        self.wait_marked(markers, tick)
        found = self.outcomes(streams)
        until = time.monotonic() + STALLED_S
        while found.decided < commands and time.monotonic() < until:  # products have their own partitions
            time.sleep(POLL_S)
            found = self.outcomes(streams)
        return found

    def wait_marked(self, markers: Sequence[bytes], tick: Callable[[], None]) -> None:
        """Wait until everything before the markers is decided and folded by the core."""
        statement = "SELECT count(*) FROM refold.outcomes WHERE key = ANY(%s)"

        def marked() -> bool:
            tick()
            return bool(self._tables.value(statement, list(markers)) == len(markers))

        self._wait(marked, "core")

    def wait_shown(self, advance: Advance, group: str = "models") -> None:
        """Wait until the models, or another group, have reached the core's position."""
        target = self.folded()

        def shown() -> bool:
            at = self.folded(group)
            advance(min(at, target))
            return at >= target

        self._wait(shown, group)

    def _wait(self, done: Callable[[], bool], group: str) -> None:
        """Wait until `done`. Raises Unreachable if a process ended for good, or nothing has moved for long."""
        at, since = -1, time.monotonic()
        while not done():
            if self._ended() is not None:
                raise Unreachable(
                    "A process ended for good.", "Its log in the folder `logs` of the data folder says why."
                )
            now = self.folded() + self.folded(group)
            if now != at:
                at, since = now, time.monotonic()
            elif time.monotonic() - since > STALLED_S:
                raise Unreachable(f"Nothing was folded for {STALLED_S:.0f} s.", "Read the logs of the processes.")
            time.sleep(POLL_S)
