"""Progress with rate and remaining time: one bar on a terminal, a plain line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from refold.api.cli.output import progress, say

LINE_EVERY_S = 5.0
_TOO_SOON_S = 0.5

Advance = Callable[[int], None]
"""Called with how much is done so far."""


@contextmanager
def advancing(what: str, total: int) -> Iterator[Advance]:
    """A function that reports progress while the block runs."""
    pace = Pace(total)
    if not progress.is_terminal:
        yield _Lines(what, pace).advance
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns, console=progress) as bars:
        task = bars.add_task(what, total=total, words="")
        yield lambda done: bars.update(task, completed=done, words=pace.words(done))


class Pace:
    """Rate and remaining time since the first report; earlier work tells nothing about the pace now."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self._clock = total, clock
        self._first: tuple[int, float] | None = None

    def words(self, done: int) -> str:
        """`52,000 of 131,000, 8,100/s, 10 s left`."""
        at, began = self._first = self._first or (done, self._clock())
        seconds = self._clock() - began
        if seconds < _TOO_SOON_S or done <= at:
            return f"{done:,} of {self.total:,}"
        rate = (done - at) / seconds
        left = f", {(self.total - done) / rate:,.0f} s left" if done < self.total else ""
        return f"{done:,} of {self.total:,}, {rate:,.0f}/s{left}"


class _Lines:
    def __init__(self, what: str, pace: Pace) -> None:
        self._what, self._pace = what, pace
        self._said = time.monotonic()
        self._finished = False

    def advance(self, done: int) -> None:
        words, now = self._pace.words(done), time.monotonic()
        finished = done >= self._pace.total
        if not self._finished and (finished or now - self._said >= LINE_EVERY_S):
            self._said, self._finished = now, finished
            say(f"{self._what}: {words}")
