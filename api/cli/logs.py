"""Where the lines of supervised processes go: one labelled stream, or a file each."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

COLOURS = {"handler": 33, "core": 36, "models": 35, "reactors": 34, "api": 32}
LIMIT = 10_000_000

Output = Callable[[str, str], None]


def labelled_lines(role: str, line: str) -> None:
    """Write a line to stderr with its process in front, coloured on a terminal."""
    label = f"{role:<8}|"
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        label = f"\x1b[{COLOURS.get(role, 37)}m{label}\x1b[0m"
    with suppress(OSError):  # stderr may be a file on a full disk; the thread that calls restarts the role
        sys.stderr.write(f"{label} {line}\n")


def keep_in_files(folder: Path) -> Output:
    """An output that appends each role's lines to `<folder>/<role>.log`. Lines that the disk refuses are dropped, and counted there later."""
    with suppress(OSError):  # said with the first line that is refused
        folder.mkdir(parents=True, exist_ok=True)
        for path in (folder / f"{role}.log" for role in COLOURS):
            if path.exists() and path.stat().st_size > LIMIT:
                path.replace(path.with_suffix(".old.log"))
    dropped: dict[str, int] = {}

    def write(role: str, line: str) -> None:
        lost = dropped.get(role, 0)
        note = f"{lost} lines were dropped here: the disk refused them\n" if lost else ""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / f"{role}.log").open("a", encoding="utf-8") as log:
                log.write(f"{note}{line}\n")
        except OSError as error:  # it must not reach the thread that restarts the role and empties its pipe
            if not lost:
                labelled_lines(role, f"log lines are dropped: {error.strerror}")
            dropped[role] = lost + 1
        else:
            dropped.pop(role, None)

    return write
