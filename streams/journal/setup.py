"""Sets a process's lines up: once, at its start, by its settings. What libraries say, and what nobody caught, comes the same way."""

import atexit
import logging
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TextIO, cast

from refold.streams.journal.formats import JSON, Writer, form_of
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
    # Only Faust's services log here, under the module of their class, that they start and stop; timers, that they wait as we do.
    "refold.streams.worker.agents": logging.ERROR,
    "mode.timers": logging.ERROR,
}
"""The least level that a library is heard at: below it each tells of its own doings, which are no fault and nobody's to mend."""

_HERE: list[Journal] = []
_SAID: dict[str, str] = {"role": CLI, "format": "text"}


def set_up(role: str, settings: Settings) -> None:
    """From now on each line of this process has the form that the settings say. A second call takes the place of the first.

    A service's prints become lines, too: there is nobody at its terminal. A one-shot command says warnings and what is worse.
    """
    end()
    while _HERE:
        logging.getLogger().removeHandler(_HERE.pop())
    _SAID.update(role=role, format=settings.log_format)
    level = logging.getLevelName(settings.log_level.upper())
    if role == CLI and level == logging.INFO:
        level = logging.WARNING
    secrets = [url.get_secret_value() for url in (settings.database_url, settings.analyst_url) if url is not None]
    journal = Journal(_real(sys.stderr), form_of(settings.log_format), Writer(role, os.getpid()), Masking(secrets))
    root = logging.getLogger()
    root.addHandler(journal)
    root.setLevel(level)
    _HERE.append(journal)
    for name, least in LIBRARIES.items():
        logging.getLogger(name).setLevel(max(least, level))
    _hear_what_nobody_catches(everything=role != CLI or is_json())
    if role in SERVICES:
        sys.stdout, sys.stderr = Printed("stdout", _real(sys.stdout)), Printed("stderr", _real(sys.stderr))


def end() -> None:
    """Write what is counted and not told yet. For whoever ends the process without Python's own end; else that does it.

    What is said afterwards is written as it comes.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Printed):
            stream.finish()
    for journal in _HERE:
        with suppress(Exception):
            journal.close()


def leave(code: int) -> NoReturn:
    """End the process at once, from any thread, with nothing that was counted left untold."""
    end()
    os._exit(code)


atexit.register(end)


def is_json() -> bool:
    """Whether this process writes JSON."""
    return _SAID["format"] == JSON


def is_service() -> bool:
    """Whether this process is one that runs on: what it says are lines, and no conversation."""
    return _SAID["role"] in SERVICES or is_json()


def _hear_what_nobody_catches(*, everything: bool) -> None:
    """Warnings, and what ends a thread or is raised where nobody can catch it. `everything`: what ends the process, too."""
    logging.captureWarnings(capture=True)
    threading.excepthook = _of_thread
    sys.unraisablehook = _of_nobody
    if everything:
        sys.excepthook = _of_process


def _of_process(kind: type[BaseException], problem: BaseException, _: object) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    info = (kind, problem, problem.__traceback__)
    logging.getLogger("refold").critical("this process ends by an error that nobody caught", exc_info=info)


def _of_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is None or issubclass(found.exc_type, SystemExit):
        return
    name = found.thread.name if found.thread else "?"
    info = (found.exc_type, found.exc_value, found.exc_traceback)
    logging.getLogger("refold").error("a thread has ended by an error that nobody caught: %s", name, exc_info=info)


def _of_nobody(found: "sys.UnraisableHookArgs") -> None:
    info = (found.exc_type, found.exc_value, found.exc_traceback) if found.exc_value else None
    where = found.err_msg or "an error was raised where nobody can catch it"
    logging.getLogger("refold").error("%s: %r", where, found.object, exc_info=info)


def _real(stream: object) -> TextIO:
    """Where the system's own stream leads; nowhere, where whoever started us closed it."""
    if isinstance(stream, Printed):
        return stream.below
    return Path(os.devnull).open("w", encoding="utf-8") if stream is None else cast("TextIO", stream)
