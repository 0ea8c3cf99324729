"""Throttles a replay: it rests between batches while live commands or rows take longer than they did without it.

A thread looks each LOOK_S where topics end and where the workers stand. At the beginning, and each minute, the replay rests
for a moment, so that the thread learns what is usual. If a server does not answer, the replay goes on at its last pace.
"""

import threading
import time
from collections import deque
from contextlib import closing, suppress
from typing import Self

import psycopg

from refold.projections.replay.pace import Delay, Delays, Pace, usual_of
from refold.schemas.errors import RefoldError
from refold.streams.domain import Domains
from refold.streams.operation.lag import LagReader
from refold.streams.postgres.connection import Database, connect
from refold.streams.settings import Settings

LOOK_S = 0.1
LEARN_S, LEARN_AGAIN_S, LEARN_EVERY_S = 2.0, 1.0, 60.0
BATCH_RECORDS, SLICE_ROWS = 10_000, 5_000
"""Records and rows between two rests: a few milliseconds of work."""
_STEP_S = 1.0
"""Longest work for which a rest is due: what took longer was waiting, or other work of the thread."""
_AWAY_S, _SEEN = 1.0, 100


class Throttle:
    """Looks in a thread of its own; `rest` is called by the threads that work."""

    batch_records: int | None = BATCH_RECORDS
    slice_rows: int | None = SLICE_ROWS

    def __init__(self, settings: Settings, domains: Domains) -> None:
        self._settings, self._domains = settings, domains
        self._pace, self._delays, self._seen = Pace(), Delays(), deque[Delay](maxlen=_SEEN)
        self.held_s = 0.0
        self._learned = 0.0
        self._rested = threading.local()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(10)

    @property
    def says(self) -> str:
        return self._pace.says if self._thread is not None else ""

    def begin(self, *databases: Database) -> None:
        """Begin to look, and learn what is usual. Postgres uses one process for each statement of the replay."""
        for db in databases:
            db.execute("SET max_parallel_maintenance_workers = 0")
            db.execute("SET max_parallel_workers_per_gather = 0")
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="throttle", daemon=True)
            self._thread.start()
            self._learn(LEARN_S)
        self._rested.at = time.monotonic()

    def rest(self) -> None:
        now = time.monotonic()
        worked = min(now - getattr(self._rested, "at", now), _STEP_S)
        pause = self._pace.pause_after(worked)
        if self._over.wait(pause):
            return
        self.held_s += pause
        if threading.current_thread() is threading.main_thread() and now - self._learned > LEARN_EVERY_S:
            self._learn(LEARN_AGAIN_S)
        self._rested.at = time.monotonic()

    def _learn(self, seconds: float) -> None:
        """Rest for a while, and take the delays of that time for the usual ones."""
        self._seen.clear()
        since = self._delays.positions
        self._over.wait(seconds)
        self.held_s += seconds
        self._delays.leave_out_stuck(since or self._delays.positions)
        self._pace = Pace(usual_of(list(self._seen)), self._pace.share, self._pace.last)
        self._learned = time.monotonic()

    def _watch(self) -> None:
        lags = LagReader(self._settings, self._domains)
        while not self._over.is_set():
            with (
                suppress(psycopg.Error, RefoldError),  # away: the next connection tells when it is back
                closing(connect(self._settings.dsn(), application_name="throttle")) as db,
            ):
                while not self._over.wait(LOOK_S):
                    found = {(lag.group, lag.topic, lag.part): (lag.position, lag.end) for lag in lags.read(db)}
                    delay = self._delays.look(time.monotonic(), found)
                    self._seen.append(delay)
                    self._pace = self._pace.heard(delay)
            self._over.wait(_AWAY_S)
