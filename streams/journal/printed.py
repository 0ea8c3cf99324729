"""Turns printed output into log lines: a domain's `print`, a library's complaint on stderr."""

import io
import logging
import threading
from typing import TextIO

_MOST = 100_000
"""Most characters kept while no newline comes."""


class Printed(io.TextIOBase):
    """A stream whose lines are logged by the logger `name`: `stdout` as information, `stderr` as a warning."""

    def __init__(self, name: str, below: TextIO) -> None:
        """`below`: the stream that it replaces."""
        super().__init__()
        self.below = below
        self._logger = logging.getLogger(name)
        self._level = logging.WARNING if name == "stderr" else logging.INFO
        self._begun = ""
        self._writing = threading.RLock()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # an attribute there, which TextIOBase does not set
        return "utf-8"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Code that writes to the descriptor itself bypasses us."""
        return self.below.fileno()

    def write(self, text: str) -> int:
        """Log each complete line."""
        with self._writing:
            *whole, self._begun = (self._begun + text).split("\n")
            if len(self._begun) > _MOST:
                whole, self._begun = [*whole, self._begun], ""
        self._say(whole)
        return len(text)

    def finish(self) -> None:
        """Log an unfinished line when the process ends."""
        with self._writing:
            begun, self._begun = self._begun, ""
        self._say([begun])

    def _say(self, lines: list[str]) -> None:
        for line in lines:
            if line.strip():
                self._logger.log(self._level, "%s", line)
