"""Decides a batch of commands, each on its stream's newest state, from the overlay or else from the snapshot."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from refold.schemas.codec import Codec
from refold.schemas.errors import BadValue, NewerSchema, Undecodable
from refold.streams import metrics
from refold.streams.decider import Rejected
from refold.streams.domain import AnyDecider
from refold.streams.handler.decide import (
    EVENTS_REFUSED,
    STATE_UNREADABLE,
    Decided,
    Destination,
    Incoming,
    decide,
    records,
    refused_unseen,
    utc_now,
)
from refold.streams.handler.holder import Holder
from refold.streams.handler.ports import Snapshot
from refold.streams.rules.effects import FoldStream, StoredStream

Fits = Callable[[bytes, bytes], bool]
"""Says whether the log takes a record with this key and value."""
_CODE, _MESSAGE = 64, 128


class Deciding:
    """Decides one batch on one snapshot. Its events bear the time at which the batch began."""

    def __init__(
        self,
        decider: AnyDecider,
        codec: Codec,
        holder: Holder,
        seen: Snapshot,
        refold: FoldStream,
        fits: Fits = lambda *_: True,
    ) -> None:
        assert holder.writer is not None, "only an owner decides"
        self._decider, self._codec, self._holder = decider, codec, holder
        self._seen, self._refold, self._fits = seen, refold, fits
        self._writer, self._now = holder.writer.bytes, utc_now()
        self.outcomes: Counter[str] = Counter()
        self.rejections: Counter[str] = Counter()

    def records(self, key: bytes, incoming: Incoming) -> list[bytes]:
        """The records of one command's group; the overlay notes them. Raises NewerSchema, and then notes nothing."""
        holder, stream = self._holder, incoming.stream
        ahead = holder.ahead(stream)
        stored = self._seen.streams.get(stream)
        version = ahead.version if ahead else stored.version if stored else 0
        try:
            state = ahead.state if ahead else self._state(stream, stored)
            decided = decide(self._decider, incoming, state, version)
        except NewerSchema:  # the stream has events of newer code: that code decides what follows them
            if (refused := refused_unseen(incoming, version)) is None:
                raise
            state, decided = None, Decided((), None, refused)
        except Undecodable as problem:
            state, decided = None, Decided((), None, Rejected(STATE_UNREADABLE, problem.message))
        at = Destination(self._decider.category.name, self._writer, holder.next_seq, version, self._now)
        decided, values = self._written(incoming, decided, at)
        holder.decided(key, len(values), sum(map(len, values)))
        if decided.events:
            holder.moved(stream, decided.state, version + len(decided.events))
        self.outcomes["rejected" if decided.rejection else "accepted"] += 1
        if decided.rejection:
            self.rejections[decided.rejection.code] += 1
        return values

    def count(self) -> None:
        """Count the batch's outcomes at once: counting each command by itself would take a twentieth of its time."""
        category = self._decider.category.name
        for outcome, number in self.outcomes.items():
            metrics.COMMANDS.labels(category, outcome).inc(number)
        for code, number in self.rejections.items():
            metrics.REJECTIONS.labels(category, code).inc(number)

    def _written(self, incoming: Incoming, decided: Decided, at: Destination) -> tuple[Decided, list[bytes]]:
        """A decision with its records; a rejection instead if an event is invalid or larger than the log takes."""
        with suppress(BadValue):
            values = records(self._codec, incoming, decided, at)
            if self._fit(incoming, values):
                return decided, values
        rejected = decided.rejection or Rejected(EVENTS_REFUSED, "an event is larger than a record may be")
        decided = Decided((), decided.state, rejected)
        values = records(self._codec, incoming, decided, at)
        if not self._fit(incoming, values):  # the sender's and the domain's texts leave no room for it
            decided = Decided((), decided.state, Rejected(rejected.code[:_CODE], rejected.message[:_MESSAGE]))
            unnamed = msgspec.structs.replace(incoming, actor=None, correlation_id=None)
            values = records(self._codec, unnamed, decided, at)
        return decided, values

    def _fit(self, incoming: Incoming, values: list[bytes]) -> bool:
        key = incoming.stream.encode()
        return all(self._fits(key, value) for value in values)

    def _state(self, stream: str, stored: StoredStream | None) -> Any:
        """The stored state, or one folded from the log if the code's fold has changed. Raises Undecodable."""
        if stored is None:
            return self._decider.initial
        if stored.fingerprint == self._decider.fingerprint:
            with suppress(msgspec.MsgspecError):  # stored by code that differs where the fingerprint does not look
                return self._decider.load(stored.state)
        return self._refold(stream, stored.version)
