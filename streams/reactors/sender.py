"""Sends the reactors' commands: a bounded number at once, and all are acknowledged before a position may move."""

import threading
import time
from collections.abc import Callable, Sequence

from refold.streams.errors import CommandTooLarge, DeliveryFailed, KafkaRefused, KafkaUnavailable, QueueFull
from refold.streams.sending.command_record import CommandRecord
from refold.streams.sending.producer import Producer

MOST_UNDER_WAY = 10_000
STALL_S = 3.0
"""Longest wait for a broker that is away, in seconds: less than the time that a process has to stop."""

_LOOK_S = 0.05


class Sender:
    """Owns a producer. One thread uses it."""

    def __init__(self, make: Callable[[], Producer]) -> None:
        self._make = make
        self._producer: Producer | None = None

    def open(self) -> None:
        """Make the producer ahead. Kafka gives it its id within some 0.5 s, for which the first commands would wait."""
        if self._producer is None:
            self._producer = self._make()

    def send(self, records: Sequence[CommandRecord]) -> None:
        """Return once all are acknowledged. Raises KafkaRefused, KafkaUnavailable.

        After KafkaUnavailable some records may be in the log; all must be sent again.
        """
        if not records:
            return
        try:
            self._send(records)
        except CommandTooLarge as problem:
            self.close()
            raise KafkaRefused(f"a reactor's command: {problem.message}", problem.remedy) from problem
        except (DeliveryFailed, KafkaUnavailable) as problem:
            self.close()
            raise KafkaUnavailable(f"commands of reactors were not acknowledged: {problem.message}") from problem

    def close(self) -> None:
        """Drop records that are not acknowledged: no position says that they were sent."""
        if self._producer is not None:
            self._producer.discard()
            self._producer = None

    def _send(self, records: Sequence[CommandRecord]) -> None:
        self.open()
        assert self._producer is not None
        tally = _Tally(len(records))
        for record in records:
            while not _queued(self._producer, record, tally):
                tally.wait()
        while tally.left:
            tally.wait()
        tally.check()  # the last report may have come between two waits


def _queued(producer: Producer, record: CommandRecord, tally: "_Tally") -> bool:
    try:
        producer.queue(record, tally.report)
    except QueueFull:
        return False
    return True


class _Tally:
    """Counts acknowledgements, which another thread reports."""

    def __init__(self, expected: int) -> None:
        self.left = expected
        self._problem: DeliveryFailed | None = None
        self._changed = threading.Condition()
        self._moved = time.monotonic()

    def report(self, problem: DeliveryFailed | None) -> None:
        with self._changed:
            self.left -= 1
            self._moved = time.monotonic()
            self._problem = self._problem or problem
            self._changed.notify()

    def wait(self) -> None:
        """Wait a moment for an acknowledgement. Raises DeliveryFailed, KafkaUnavailable if none came for STALL_S."""
        with self._changed:
            if self.left:
                self._changed.wait(_LOOK_S)
            self.check()
            if self.left and time.monotonic() - self._moved > STALL_S:
                raise KafkaUnavailable(f"none for {STALL_S:.0f} s")

    def check(self) -> None:
        """Raises DeliveryFailed if a command was not acknowledged."""
        with self._changed:
            if self._problem is not None:
                raise self._problem
