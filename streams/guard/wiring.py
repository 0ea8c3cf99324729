"""Makes guards from the settings: one for a worker process, one for a command that does a group's work."""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from refold.streams.chunk import Place
from refold.streams.guard.attempts import Attempts
from refold.streams.guard.guard import Guard, GuardLimits, ProcessGuard
from refold.streams.guard.probe import Probe, Values
from refold.streams.guard.store import Store
from refold.streams.log.topics import category_of
from refold.streams.settings import Settings


def process_guard(settings: Settings, group: str, whole: int = 1) -> Guard:
    """The guard of a worker process; its note is removed when the process ends normally. `whole`: as in GuardLimits."""
    attempts = _attempts(settings, group)
    atexit.register(attempts.close)
    return _guard(settings, group, attempts, GuardLimits(settings.decode_attempts, whole))


@contextmanager
def command_guard(settings: Settings, group: str, whole: int = 1) -> Iterator[Guard]:
    """The guard of a command that does a role's work within the block; somebody runs it again if it died."""
    attempts = _attempts(settings, group)
    try:
        yield _guard(settings, group, attempts, GuardLimits(settings.decode_attempts, whole, at_once=True))
    finally:
        attempts.close()


def _attempts(settings: Settings, group: str) -> Attempts:
    return Attempts(settings.data.absolute() / "attempts", f"{settings.topic_prefix}{group}")


def _guard(settings: Settings, group: str, attempts: Attempts, limits: GuardLimits) -> ProcessGuard:
    return ProcessGuard(group, attempts, limits, partial(_killers, settings), Store(settings.dsn(), group))


def _killers(settings: Settings, place: Place, values: Values) -> list[int]:
    topic = place[0]
    return Probe(settings.domains, category_of(settings.topic_prefix, topic), topic.endswith(".events")).killers(values)
