"""Measures how long writers wait for a command: a connection takes the group's lock again and again, as each chunk of a models worker does."""

import threading
import time
from types import TracebackType
from typing import Self

from refold.projections.tables import builds
from refold.streams.postgres.connection import connect

_STEP_S = 0.001


class Pause:
    """Asks for the group's shared lock all the time while it is entered. `longest_s`: the longest that it had to wait."""

    def __init__(self, url: str) -> None:
        self._url, self.longest_s = url, 0.0
        self._ended, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _it: BaseException | None, _at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with connect(self._url, application_name="bench-pause") as db:
            while not self._ended.wait(_STEP_S):
                with db.transaction():
                    began = time.perf_counter()
                    builds.lock_shared(db)
                    self.longest_s = max(self.longest_s, time.perf_counter() - began)
