"""Sets up a process's log lines at its start, including those of libraries and of uncaught errors."""

import atexit
import logging
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TextIO, cast

from refold.streams.journal.formats import JSON, LineWriter, form_of
from refold.streams.journal.handler import Journal
from refold.streams.journal.masking import Masking
from refold.streams.journal.printed import Printed
from refold.streams.settings import Settings

CLI = "cli"
SERVICES = ("handler", "core", "models", "reactors", "api")
LIBRARIES = {
    "aiokafka": logging.WARNING,
    "asyncio": logging.WARNING,
    "faust": logging.WARNING,
    "librdkafka": logging.WARNING,
    "litestar": logging.WARNING,
    "mode": logging.WARNING,
    "psycopg": logging.WARNING,
    "uvicorn": logging.WARNING,
    # Only Faust's services log here, with their classes' modules: starts and stops, and from timers that they wait as
    # we do.
    "refold.streams.worker.agents": logging.ERROR,
    "mode.timers": logging.ERROR,
}
"""Least level at which a library's lines are written. Lower levels describe its normal work, which nobody needs to
mend."""

_FOLLOWS = (
    "error ignored in rollback on ",
    "discarding broken connection: ",
    "discarding closed connection: ",
    "reconnection attempt in pool ",
)
"""How lines of psycopg and its pool begin that only follow from a fault: whoever meets the fault says it."""

_HERE: list[Journal] = []
_SAID: dict[str, str] = {"role": CLI, "format": "text"}


def set_up(role: str, settings: Settings) -> None:
    """Write each line of this process in the configured form from now on. A second call replaces the first.

    A service's prints become lines too, since nobody watches its terminal. A one-shot command shows only warnings and
    worse.
    """
    end()
    while _HERE:
        logging.getLogger().removeHandler(_HERE.pop())
    _SAID.update(role=role, format=settings.log_format)
    level = logging.getLevelName(settings.log_level.upper())
    if role == CLI and level == logging.INFO:
        level = logging.WARNING
    secrets = [url.get_secret_value() for url in (settings.database_url, settings.analyst_url) if url is not None]
    journal = Journal(_real(sys.stderr), form_of(settings.log_format), LineWriter(role, os.getpid()), Masking(secrets))
    root = logging.getLogger()
    root.addHandler(journal)
    root.setLevel(level)
    _HERE.append(journal)
    for name in ("psycopg", "psycopg.pool"):
        logging.getLogger(name).addFilter(_is_news)
    for name, least in LIBRARIES.items():
        logging.getLogger(name).setLevel(max(least, level))
    _hear_what_nobody_catches(everything=role != CLI or is_json())
    if role in SERVICES:
        sys.stdout, sys.stderr = Printed("stdout", _real(sys.stdout)), Printed("stderr", _real(sys.stderr))


def _is_news(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_FOLLOWS)


def end() -> None:
    """Write untold counts. Call before an end without Python's own shutdown, which otherwise does this.

    Later lines are written as they come.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Printed):
            stream.finish()
    for journal in _HERE:
        with suppress(Exception):
            journal.close()


def leave(code: int) -> NoReturn:
    """End the process at once, from any thread, after writing untold counts."""
    end()
    os._exit(code)


atexit.register(end)


def is_json() -> bool:
    """Whether this process writes JSON."""
    return _SAID["format"] == JSON


def is_service() -> bool:
    """Whether this process runs on: its output is lines, not a conversation."""
    return _SAID["role"] in SERVICES or is_json()


def _hear_what_nobody_catches(*, everything: bool) -> None:
    """Log warnings, errors that end a thread and uncatchable ones; with `everything`, those that end the process."""
    logging.captureWarnings(capture=True)
    threading.excepthook = _of_thread
    sys.unraisablehook = _of_nobody
    if everything:
        sys.excepthook = _of_process


def _of_process(kind: type[BaseException], problem: BaseException, _: object) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    info = (kind, problem, problem.__traceback__)
    logging.getLogger("refold").critical("this process ends by an uncaught error", exc_info=info)


def _of_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is None or issubclass(found.exc_type, SystemExit):
        return
    name = found.thread.name if found.thread else "?"
    info = (found.exc_type, found.exc_value, found.exc_traceback)
    logging.getLogger("refold").error("a thread has ended by an uncaught error: %s", name, exc_info=info)


def _of_nobody(found: "sys.UnraisableHookArgs") -> None:
    info = (found.exc_type, found.exc_value, found.exc_traceback) if found.exc_value else None
    where = found.err_msg or "an error was raised in a place where no code can catch it"
    logging.getLogger("refold").error("%s: %r", where, found.object, exc_info=info)


def _real(stream: object) -> TextIO:
    """The system's own stream; a null stream if our parent closed it."""
    if isinstance(stream, Printed):
        return stream.below
    return Path(os.devnull).open("w", encoding="utf-8") if stream is None else cast("TextIO", stream)
