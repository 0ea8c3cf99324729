"""Measures how long a partition of a role stands still though records wait for it."""

import threading
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Self

from refold.streams.domain import Domains
from refold.streams.operation.lag import Lag, LagKey, LagReader
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings

_EVERY_S = 0.04


@dataclass
class Stands:
    """The longest stand of each role since `begin`, in seconds. A stand begins when a record waits and none is taken."""

    longest: dict[str, float] = field(default_factory=dict)
    _places: dict[LagKey, tuple[int, float | None]] = field(default_factory=dict)

    def begin(self) -> None:
        """Forget what was found; a stand that goes on counts from its own beginning."""
        self.longest = {}

    def see(self, lags: Iterable[Lag], now: float) -> None:
        """Take in one look at all partitions."""
        for lag in lags:
            key = (lag.group, lag.topic, lag.part)
            before, since = self._places.get(key, (lag.position, None))
            if since is not None:
                self.longest[lag.group] = max(self.longest.get(lag.group, 0.0), now - since)
            if lag.position != before or since is None:
                since = now
            self._places[key] = (lag.position, since if lag.records > 0 else None)


class StandingStill:
    """`with StandingStill(settings, domains) as watch:` looks at all partitions about 20 times a second."""

    def __init__(self, settings: Settings, domains: Domains, reacted: Iterable[str]) -> None:
        self._settings = settings
        self._reader = LagReader(settings, domains, tuple(reacted))
        self._stands, self._lock = Stands(), threading.Lock()
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)
        self._looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def begin(self) -> None:
        """Measure from here on."""
        with self._lock:
            self._stands.begin()
            self._looks = 0

    def longest(self, role: str) -> float:
        """The longest stand of any partition of the role since `begin`, in seconds."""
        with self._lock:
            assert self._looks > 0, "nobody looked"
            return self._stands.longest.get(role, 0.0)

    def _run(self) -> None:
        with closing(connect(self._settings.dsn(), application_name="standing")) as db:
            while not self._stop.wait(_EVERY_S):
                found = self._reader.read(db)
                with self._lock:
                    self._stands.see(found, time.monotonic())
                    self._looks += 1
