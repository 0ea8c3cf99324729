"""Where the lines of supervised processes go: one labelled stream, or a file each."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

COLOURS = {"handler": 33, "core": 36, "models": 35, "reactors": 34, "api": 32}
LIMIT = 10_000_000

Output = Callable[[str, str], None]


def labelled_lines(role: str, line: str) -> None:
    """Write a line to stderr with its process in front, coloured on a terminal."""
    label = f"{role:<8}|"
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        label = f"\x1b[{COLOURS.get(role, 37)}m{label}\x1b[0m"
    sys.stderr.write(f"{label} {line}\n")


def keep_in_files(folder: Path) -> Output:
    """An output that appends each role's lines to `<folder>/<role>.log`."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder / f"{role}.log" for role in COLOURS):
        if path.exists() and path.stat().st_size > LIMIT:
            path.replace(path.with_suffix(".old.log"))

    def write(role: str, line: str) -> None:
        with (folder / f"{role}.log").open("a") as log:
            log.write(line + "\n")

    return write
