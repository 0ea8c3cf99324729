"""Outputs for the lines of supervised processes: one stream, or a file each.

The lines come in docs/logging.md's form.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from refold.streams.journal.formats import FOLLOWS, Form, LineWriter, as_json, as_text, read
from refold.streams.journal.line import Line
from refold.streams.journal.masking import Masking

COLOURS = {"handler": 33, "core": 36, "models": 35, "reactors": 34, "api": 32}
LIMIT = 10_000_000
SUPERVISOR = "supervisor"

_MASKING = Masking()

Output = Callable[[str, str], None]


def own_line(form: Form, words: str, level: int = logging.WARNING) -> str:
    """A line of the supervisor itself, in the form of its processes' lines."""
    return form(Line(time.time(), level, "refold.supervisor", words), LineWriter(SUPERVISOR, os.getpid()))


def stderr_lines(role: str, line: str) -> None:
    """Write a line to stderr. On a terminal the line is shortened, and labelled with its process in colour."""
    if sys.stderr.isatty() and not line.startswith("{"):
        label = f"{role:<8}|"
        if "NO_COLOR" not in os.environ:
            label = f"\x1b[{COLOURS.get(role.partition('-')[0], 37)}m{label}\x1b[0m"
        line = f"{label} {short(line)}"
    with suppress(OSError):  # stderr may be a file on a full disk; the calling thread must go on to restart the role
        sys.stderr.write(f"{line}\n")


def short(line: str) -> str:
    """A line shortened for a terminal: time of day, level unless `INFO`, message."""
    found = read(line)
    if found is None:
        return line
    level = "" if found.level == "INFO" else f"{found.level} "
    return f"{found.time[11:19]} {level}{found.message}"


def keep_in_files(folder: Path, form: Form = as_text) -> Output:
    """An output that appends each role's lines to `<folder>/<role>.log`.

    It drops and counts lines that the disk refuses.
    """
    with suppress(OSError):  # the first refused line reports it
        folder.mkdir(parents=True, exist_ok=True)
        ours = [path for path in folder.glob("*.log") if re.fullmatch(r"([a-z]+)(-\d+)?", path.stem)]
        for path in ours:  # not those of the embedded servers, which keep theirs open
            if path.stem.partition("-")[0] in COLOURS and path.stat().st_size > LIMIT:
                path.replace(path.with_suffix(".old.log"))
    dropped: dict[str, int] = {}

    def write(role: str, line: str) -> None:
        lost = dropped.get(role, 0)
        words = f"{lost} lines were dropped here because the disk refused them"
        note = f"{own_line(form, words)}\n" if lost else ""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / f"{role}.log").open("a", encoding="utf-8") as log:
                log.write(f"{note}{line}\n")
        except OSError as error:  # the calling thread must go on: it restarts the role and empties its pipe
            if not lost:
                stderr_lines(role, own_line(form, f"log lines of {role} are dropped: {error.strerror}"))
            dropped[role] = lost + 1
        else:
            dropped.pop(role, None)

    return write


def formed(text: str, form: Form, writer: LineWriter) -> str:
    """A process's line as it is passed on. A line in another form comes from below the process and is converted."""
    if form is as_json:
        is_formed = text.startswith("{") and read(text) is not None
    else:
        is_formed = text.startswith(FOLLOWS) or read(text) is not None
    return text if is_formed else form(Line(time.time(), logging.WARNING, "stderr", _MASKING.masked(text)), writer)
