"""Notes the records that a process is about to work on, in a file that outlives it: the next process counts its death.

Each process of a group has its own file and locks it while it lives. A note in a file that nobody locks is a death on
those records. A note is written into the page cache, not to disk: it must survive the process, not the machine.

A failing disk is no record's fault. Room for notes is reserved at the start; without room nothing is noted, and a log
line says so. If a process dies of its disk (SIGBUS: a page of a file that it maps has no room), its supervisor
removes its notes (`forgive`).
"""

import errno
import fcntl
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from uuid import uuid4

from refold.streams import stuck
from refold.streams.chunk import Chunk, Place

_NOTE_BYTES = 1 << 14
"""Bytes reserved for a note: enough for about two hundred places."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Suspect:
    """Offsets `start` … `end - 1` of a place, and the number of processes that died while working on all of them.

    `alone`: those of the deaths in which these records were tried by themselves. `decodes`: a child decoded them and
    lived.
    """

    topic: str
    part: int
    start: int
    end: int
    deaths: int = 1
    alone: int = 0
    decodes: bool = False

    @property
    def place(self) -> Place:
        return self.topic, self.part

    def meets(self, other: "Suspect") -> bool:
        return self.place == other.place and self.start < other.end and other.start < self.end

    def narrowed(self, other: "Suspect") -> "Suspect":
        """The offsets that two deaths have in common: if one record killed both, it is among them."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        deaths, alone = self.deaths + other.deaths, self.alone + other.alone
        return replace(self, start=start, end=end, deaths=deaths, alone=alone)


class Attempts:
    """The notes of one role's processes in one folder, and the suspects that follow from them."""

    def __init__(self, folder: Path, group: str) -> None:
        self._tally, self._lock = folder / f"{group}.json", folder / f"{group}.lock"
        self._note = folder / f"{group}.{uuid4().hex}.{os.getpid()}.note"
        self._file: int | None = None
        self.suspects = self._read()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._alone():
                self.suspects = self._read()
                for path in folder.glob(f"{group}.*.note"):
                    for died in _left_by_the_dead(path):
                        self.suspects = _counted(self.suspects, died)
                self._write()
                self._file = _reserved(self._note)
        except OSError as error:
            _log.warning("%s: attempts cannot be noted, so a killing record cannot be found: %s", group, error)

    def begin(self, chunks: Sequence[Chunk], *, alone: bool = False) -> None:
        """Note the records that are worked on now."""
        note = json.dumps([[*chunk.place, chunk.start, chunk.end, 1, int(alone)] for chunk in chunks]).encode()
        self._say(note + b"\n")
        stuck.begin()

    def end(self, *, dies: bool = False) -> None:
        """Remove the note. `dies`: the process is about to end, and the note stays."""
        stuck.end()
        if not dies:
            self._say(b"\n")

    def _say(self, line: bytes) -> None:
        """Write the note as the file's first line; rests of earlier notes may follow it."""
        if self._file is None:
            return
        try:
            os.pwrite(self._file, line, 0)
        except OSError:  # it is longer than the reserved room, and the disk is full: better no note than half of one
            os.pwrite(self._file, b"\n", 0)

    def suspect(self, chunk: Chunk) -> Suspect | None:
        """The suspect in the chunk with the most deaths, if any."""
        asked = Suspect(*chunk.place, chunk.start, chunk.end)
        return max((s for s in self.suspects if s.meets(asked)), key=lambda s: s.deaths, default=None)

    def deaths(self, chunk: Chunk) -> int:
        """The number of deaths on records of the chunk."""
        suspect = self.suspect(chunk)
        return suspect.deaths if suspect else 0

    def decodes(self, chunk: Chunk) -> None:
        """Note that no record of the chunk kills a decoder: the domain's code is to blame."""
        asked = Suspect(*chunk.place, chunk.start, chunk.end)
        with self._alone():
            self.suspects = [replace(s, decodes=True) if s.meets(asked) else s for s in self.suspects]
            self._write()

    def passed(self, place: Place, start: int, end: int) -> None:
        """Clear records of suspicion that were passed or found harmless."""
        done = Suspect(*place, start, end)
        if any(suspect.meets(done) for suspect in self.suspects):
            left = [part for suspect in self.suspects for part in _without(suspect, done)]
            with self._alone():
                self.suspects = left
                self._write()

    def close(self) -> None:
        """Remove this process's file: it ends normally."""
        if self._file is not None:
            with suppress(FileNotFoundError):
                self._note.unlink()
            os.close(self._file)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> list[Suspect]:
        try:
            return [Suspect(*row) for row in json.loads(self._tally.read_text())]
        except (OSError, ValueError):
            return []

    def _write(self) -> None:
        """Store the suspects for other processes. If the disk is full, only this process knows them."""
        rows = [list(astuple(suspect)) for suspect in self.suspects]
        if not rows:
            self._tally.unlink(missing_ok=True)
            return
        beside = self._tally.with_suffix(".new")
        try:
            beside.write_text(json.dumps(rows))
            beside.replace(self._tally)
        except OSError as error:
            beside.unlink(missing_ok=True)
            _log.warning("%s cannot be written: %s", self._tally.name, error)


def forgive(folder: Path, pid: int) -> None:
    """Remove the note of a process that died of something else than its records. Raises OSError."""
    for path in folder.glob(f"*.{pid}.note"):
        _left_by_the_dead(path)


def _reserved(path: Path) -> int:
    """Open and lock a file with room for a note. Raises OSError."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        written = os.pwrite(file, b"\n" * _NOTE_BYTES, 0)
    except OSError:
        written = 0
    if written < _NOTE_BYTES:
        path.unlink(missing_ok=True)
        os.close(file)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return file


def _left_by_the_dead(path: Path) -> list[Suspect]:
    """The note in a file whose process is gone; the file is removed. Nothing while the process lives."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return []
        path.unlink()
        try:
            return [Suspect(*row) for row in json.loads(file.readline().strip() or b"[]")]
        except ValueError:  # the note is cut off: the process died while it wrote, so not at its work
            return []


def _counted(suspects: list[Suspect], died: Suspect) -> list[Suspect]:
    met = [suspect for suspect in suspects if suspect.meets(died)]
    return [*(s for s in suspects if s not in met), *(s.narrowed(died) for s in met)] if met else [*suspects, died]


def _without(suspect: Suspect, done: Suspect) -> list[Suspect]:
    if not suspect.meets(done):
        return [suspect]
    parts = [replace(suspect, end=done.start), replace(suspect, start=done.end)]
    return [part for part in parts if part.start < part.end]
