"""What this process is about to work on, in a file that outlives it: a death leaves the note, the next process counts it.

Each process of a group has a file of its own and holds a lock on it while it lives. A note in a file that nobody holds is a
death on those records. A note is written into the page cache, not to disk: it has to survive the process, not the machine.

A sick disk is no record's fault. The room for notes is reserved at the start; where there is none, nothing is noted, which is said. A process that
its disk killed (SIGBUS: a page of a file that it maps has no room) has its notes taken away by its supervisor (`forgive`).
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
"""Of some two hundred places."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Suspect:
    """Offsets `start` … `end - 1` of a place, and how many processes died on records that include them all.

    `alone`: how many of them while the records were tried by themselves. `decodes`: a child has decoded them and lives.
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
        """What two deaths have in common: the record that kills lies there, if it is one."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        deaths, alone = self.deaths + other.deaths, self.alone + other.alone
        return replace(self, start=start, end=end, deaths=deaths, alone=alone)


class Attempts:
    """The notes of one group of processes in one folder."""

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
            _log.warning("%s: attempts are not noted, so a record that kills is not found: %s", group, error)

    def begin(self, chunks: Sequence[Chunk], *, alone: bool = False) -> None:
        """Note what is worked on now."""
        note = json.dumps([[*chunk.place, chunk.start, chunk.end, 1, int(alone)] for chunk in chunks]).encode()
        self._say(note + b"\n")
        stuck.begin()

    def end(self, *, dies: bool = False) -> None:
        """Nobody died, or the process is about to, and its note stays."""
        stuck.end()
        if not dies:
            self._say(b"\n")

    def _say(self, line: bytes) -> None:
        """The file's first line is the note; what stands behind it is of earlier ones."""
        if self._file is None:
            return
        try:
            os.pwrite(self._file, line, 0)
        except OSError:  # longer than what is reserved, and no room: better none than half of one
            os.pwrite(self._file, b"\n", 0)

    def suspect(self, chunk: Chunk) -> Suspect | None:
        """The records of the chunk, if any, on which most processes died."""
        asked = Suspect(*chunk.place, chunk.start, chunk.end)
        return max((s for s in self.suspects if s.meets(asked)), key=lambda s: s.deaths, default=None)

    def deaths(self, chunk: Chunk) -> int:
        """On how many attempts at records of the chunk a process died."""
        suspect = self.suspect(chunk)
        return suspect.deaths if suspect else 0

    def decodes(self, chunk: Chunk) -> None:
        """No record of the chunk kills a decoder: what is left is the code that they are given to."""
        asked = Suspect(*chunk.place, chunk.start, chunk.end)
        with self._alone():
            self.suspects = [replace(s, decodes=True) if s.meets(asked) else s for s in self.suspects]
            self._write()

    def passed(self, place: Place, start: int, end: int) -> None:
        """These records were passed, or found harmless: nobody suspects them any more."""
        done = Suspect(*place, start, end)
        if any(suspect.meets(done) for suspect in self.suspects):
            left = [part for suspect in self.suspects for part in _without(suspect, done)]
            with self._alone():
                self.suspects = left
                self._write()

    def close(self) -> None:
        """The process ends in peace."""
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
        """What does not fit on a full disk is known to this process alone."""
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
    """Take away what a process that has ended was about to work on: it died of something else. Raises OSError."""
    for path in folder.glob(f"*.{pid}.note"):
        _left_by_the_dead(path)


def _reserved(path: Path) -> int:
    """An open and locked file with room for a note."""
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
    """The note in a file, which is removed, if its process is gone."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return []
        path.unlink()
        try:
            return [Suspect(*row) for row in json.loads(file.readline().strip() or b"[]")]
        except ValueError:  # cut off: it died while it wrote, so not at its work
            return []


def _counted(suspects: list[Suspect], died: Suspect) -> list[Suspect]:
    met = [suspect for suspect in suspects if suspect.meets(died)]
    return [*(s for s in suspects if s not in met), *(s.narrowed(died) for s in met)] if met else [*suspects, died]


def _without(suspect: Suspect, done: Suspect) -> list[Suspect]:
    if not suspect.meets(done):
        return [suspect]
    parts = [replace(suspect, end=done.start), replace(suspect, start=done.end)]
    return [part for part in parts if part.start < part.end]
