"""A logger whose lines are recorded, with a clock of its own, for tests of log lines."""

import io
import json
import logging
import re
from typing import Any

from refold.streams.journal.formats import LineWriter, as_json
from refold.streams.journal.handler import Journal
from refold.streams.journal.masking import Masking

TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ [\w-]+\[\d+\] [\w.-]+: .*|    .*")
CORE = LineWriter("core", 7)


class Lines:
    """A logger whose lines are kept, by a clock that stands still until it is moved."""

    def __init__(self, form: Any = as_json) -> None:
        self.now = 0.0
        self._stream = io.StringIO()
        self.journal = Journal(self._stream, form, CORE, Masking(), lambda: self.now)
        self.logger = logging.getLogger(f"tests.{id(self)}")
        self.logger.propagate = False
        self.logger.setLevel(logging.DEBUG)
        self.logger.addHandler(self.journal)

    def texts(self) -> list[str]:
        return self._stream.getvalue().splitlines()

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.texts()]


def record(
    message: str, *arguments: object, level: int = logging.WARNING, name: str = "x", **extra: Any
) -> logging.LogRecord:
    found = logging.LogRecord(name, level, "", 0, message, arguments, None)
    found.__dict__.update(extra)
    return found
