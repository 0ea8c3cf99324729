"""Writes log records to a stream: one line per fault, repeats as counts. Nothing is dropped without a count."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TextIO

from refold.streams.journal.formats import Form, LineWriter
from refold.streams.journal.line import Line, line_of
from refold.streams.journal.masking import Masking
from refold.streams.journal.repeats import Repeats

_OWN = "refold.journal"
_LONGEST_WAIT_S = 3600.0


class Journal(logging.Handler):
    """Writes all log lines of the process. Its lock guards everything; `logging` replaces it in a forked child."""

    def __init__(
        self,
        stream: TextIO,
        form: Form,
        writer: LineWriter,
        masking: Masking | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`form` formats a line of `writer`."""
        super().__init__()
        self._stream, self._form, self._writer = stream, form, writer
        self._masking, self._clock = masking or Masking(), clock
        self._repeats = Repeats()
        self._refused = 0
        self._closed = False
        self._woken = threading.Event()
        self._counting = threading.Thread(target=self._count, name="journal", daemon=True)
        self._counting.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Called under the lock. Never raises, so the caller goes on."""
        try:
            self._take(record)
        except Exception:
            self.handleError(record)

    def _take(self, record: logging.LogRecord) -> None:
        line = line_of(record, self._masking)
        if self._closed:  # the process is ending: no thread would write a later count
            self._write(line)
            return
        before = self._repeats.next_due()
        for each in self._repeats.take(line, self._clock()):
            self._write(each)
        if self._repeats.next_due() < before:
            self._woken.set()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name in `logging`
        """Reports a defect of ours or of the caller's arguments as an ordinary line; never raises."""
        with contextlib.suppress(Exception):
            self._write(Line(record.created, logging.ERROR, _OWN, f"a line of {record.name} could not be written"))

    def close(self) -> None:
        """Write untold counts. Called by `logging.shutdown`, and before an immediate end of the process."""
        with self._held():
            if not self._closed:
                self._closed = True
                for line in self._repeats.end(self._clock()):
                    self._write_now(line)
        self._woken.set()
        super().close()

    def _count(self) -> None:
        """Write lines that are due by time."""
        while not self._closed:
            with self._held():
                now = self._clock()
                for line in self._repeats.due(now):
                    self._write_now(line)
                left = self._repeats.next_due() - now
            self._woken.wait(min(max(left, 0.1), _LONGEST_WAIT_S))
            self._woken.clear()

    def _write_now(self, line: Line) -> None:
        self._write(replace(line, time=time.time()))

    def _write(self, line: Line) -> None:
        """Write the line in one piece. A full disk's refusals are counted, and reported once it accepts lines."""
        text = self._form(line, self._writer) + "\n"
        if self._refused:
            words = f"{self._refused} lines were dropped here: they were refused"
            text = self._form(Line(line.time, logging.WARNING, _OWN, words), self._writer) + "\n" + text
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._refused += 1
        else:
            self._refused = 0

    def _held(self) -> "contextlib.AbstractContextManager[object]":
        return self.lock or contextlib.nullcontext()
