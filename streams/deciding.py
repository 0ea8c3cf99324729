"""A batch's commands, each decided on the state after the one before it: what is appended already, else what the snapshot says."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from refold.schemas.codec import Codec
from refold.schemas.errors import BadValue, Undecodable
from refold.streams.decide import EVENTS_REFUSED, STATE_UNREADABLE, Decided, Incoming, Place, decide, records, utc_now
from refold.streams.decider import Rejected
from refold.streams.domain import AnyDecider
from refold.streams.effects import StoredStream
from refold.streams.handler_ports import Snapshot
from refold.streams.holder import Holder

Refold = Callable[[str, int], Any]
"""A stream's state at a version, folded anew from the log. Raises Undecodable, Away."""


class Deciding:
    """One batch on one snapshot. Its events bear the time at which the batch was begun."""

    def __init__(self, decider: AnyDecider, codec: Codec, holder: Holder, seen: Snapshot, refold: Refold) -> None:
        assert holder.writer is not None, "only an owner decides"
        self._decider, self._codec, self._holder = decider, codec, holder
        self._seen, self._refold = seen, refold
        self._writer, self._now = holder.writer.bytes, utc_now()
        self.outcomes: Counter[str] = Counter()
        self.rejections: Counter[str] = Counter()

    def records(self, key: bytes, incoming: Incoming) -> list[bytes]:
        """The records of one command's group; the overlay counts them as appended."""
        holder, stream = self._holder, incoming.stream
        ahead = holder.ahead(stream)
        stored = self._seen.streams.get(stream)
        version = ahead.version if ahead else stored.version if stored else 0
        try:
            state = ahead.state if ahead else self._state(stream, stored)
            decided = decide(self._decider, incoming, state, version)
        except Undecodable as problem:
            state, decided = None, Decided((), None, Rejected(STATE_UNREADABLE, problem.message))
        at = Place(self._decider.category.name, self._writer, holder.next_seq, version, self._now)
        try:
            values = records(self._codec, incoming, decided, at)
        except BadValue:
            decided = Decided((), state, Rejected(EVENTS_REFUSED, "an event is larger than a record may be"))
            values = records(self._codec, incoming, decided, at)
        holder.decided(key, len(values), sum(map(len, values)))
        if decided.events:
            holder.moved(stream, decided.state, version + len(decided.events))
        self.outcomes["rejected" if decided.rejection else "accepted"] += 1
        if decided.rejection:
            self.rejections[decided.rejection.code] += 1
        return values

    def _state(self, stream: str, stored: StoredStream | None) -> Any:
        """The stored state, or a cold refold from the log where the code's fold has changed. Raises Undecodable."""
        if stored is None:
            return self._decider.initial
        if stored.fingerprint == self._decider.fingerprint:
            with suppress(msgspec.MsgspecError):  # by code that differs where the fingerprint does not look
                return self._decider.load(stored.state)
        return self._refold(stream, stored.version)
