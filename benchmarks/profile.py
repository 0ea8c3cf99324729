"""Times a few functions of a rebuild by wrapping them while a block runs.

Threads overlap, so sums may exceed the whole.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

WATCHED = {
    "read: fetch and cut into chunks": "refold.projections.replay.source.LogReader.poll",
    "read: parse record batches": "refold.streams.kafka.log_reader.rows_of",
    "read: gather chunks": "refold.projections.replay.fold_log.batch",
    "fold: heads": "refold.projections.partials.batch.read_heads",
    "fold: decode and what counts": "refold.projections.replay.decoding.counted_events",
    "fold: aggregate": "refold.projections.replay.staging.partial_of",
    "flush: merge in memory": "refold.projections.replay.staging.merged",
    "flush: copy": "refold.projections.partials.merge_sql.copy",
    "finish: keys, later flushes": "refold.projections.replay.staging.Staging.finish",
    "join": "refold.projections.replay.promote.join",
    "compare": "refold.projections.replay.judging.compare",
    "promote": "refold.projections.replay.promote.switch",
}


class StageClock:
    """Seconds and calls by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(WATCHED, 0.0)
        self.calls: dict[str, int] = dict.fromkeys(WATCHED, 0)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time the watched functions while the block runs."""
        with ExitStack() as patched:
            for stage, place in WATCHED.items():
                module, _, name = place.rpartition(".")
                patched.enter_context(patch(place, self._timed(stage, _found(module, name))))
            yield

    def print(self, whole: float) -> None:
        """Print the profile on stderr."""
        print(f"{'stage':36}{'seconds':>9}{'of whole':>10}{'calls':>8}", file=sys.stderr)
        for stage, seconds in self.seconds.items():
            print(f"{stage:36}{seconds:9.2f}{seconds / whole:10.0%}{self.calls[stage]:8}", file=sys.stderr)

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[stage] += time.perf_counter() - began
                self.calls[stage] += 1

        return timed


def _found(module: str, name: str) -> Callable[..., Any]:
    from pkgutil import resolve_name

    found: Callable[..., Any] = getattr(resolve_name(module), name)
    return found
