"""Lets a process that starts while Kafka is away wait for it."""

import logging
import time
from collections.abc import Callable

from refold.streams import journal
from refold.streams.errors import KafkaUnavailable
from refold.streams.standing import goes_on, waits

_log = logging.getLogger(__name__)
_PAUSE_S = 0.5
_SOON_S = 2.0
"""Seconds for which nobody is told: a topic that was just made has no leader for a moment, and Kafka is there."""


def when_kafka_answers(ask: Callable[[], None], seconds: float = float("inf")) -> None:
    """Repeat `ask` until Kafka answers. After `seconds` raises KafkaUnavailable; other errors pass through."""
    told, began = False, time.monotonic()
    try:
        while True:
            try:
                return ask()
            except KafkaUnavailable as problem:
                passed = time.monotonic() - began
                if passed > seconds:
                    raise
                waits(ask, f"{problem.code}: {problem.message}")
                if passed > _SOON_S and not told:
                    _log.warning("Kafka is away, waiting for it: %s", problem.message, extra=journal.about(problem))
                    told = True
                time.sleep(_PAUSE_S)
    finally:
        goes_on(ask)
