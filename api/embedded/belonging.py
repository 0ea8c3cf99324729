"""Finds the processes that serve a folder, by their command line and working folder, whatever a file claims."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

Words = Sequence[str]
"""A command line."""


@dataclass(frozen=True)
class Mark:
    """The signs of a server: its working folder, by inode, and its command line.

    No other program has both by accident. Both survive lost files, clock changes, and a folder that is moved.
    """

    works_in: Path
    runs: Callable[[Words], bool]

    def is_on(self, process: psutil.Process) -> bool:
        """Whether the process lives and is such a server; False if we may not look at it."""
        with suppress(psutil.Error, OSError):
            return is_running(process) and self.runs(process.cmdline()) and _works_in(process, self.works_in)
        return False

    def find(self) -> list[psutil.Process]:
        """Every such process on this machine."""
        return [process for process in psutil.process_iter() if self.is_on(process)] if self.works_in.exists() else []


def is_running(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _works_in(process: psutil.Process, folder: Path) -> bool:
    link = Path(f"/proc/{process.pid}/cwd")  # the kernel follows the link: a folder made again is another one
    return (link if link.is_symlink() else Path(process.cwd())).samefile(folder)
