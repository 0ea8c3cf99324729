"""What this process is about to work on, in a file that outlives it: a death leaves the note, the next process counts it.

Each process of a group has a file of its own and holds a lock on it while it lives. A note in a file that nobody holds is a
death on those records. A note is written into the page cache, not to disk: it has to survive the process, not the machine.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from uuid import uuid4

from refold.streams import stuck
from refold.streams.chunk import Chunk, Place


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
        folder.mkdir(parents=True, exist_ok=True)
        self._tally, self._lock = folder / f"{group}.json", folder / f"{group}.lock"
        self._note = folder / f"{group}.{uuid4().hex}.note"
        with self._alone():
            suspects = self._read()
            for path in folder.glob(f"{group}.*.note"):
                for died in _left_by_the_dead(path):
                    suspects = _counted(suspects, died)
            self.suspects = suspects
            self._write()
            self._file = os.open(self._note, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def begin(self, chunks: Sequence[Chunk], *, alone: bool = False) -> None:
        """Note what is worked on now."""
        note = json.dumps([[*chunk.place, chunk.start, chunk.end, 1, int(alone)] for chunk in chunks]).encode()
        os.pwrite(self._file, note, 0)
        os.ftruncate(self._file, len(note))
        stuck.begin()

    def end(self, *, dies: bool = False) -> None:
        """Nobody died, or the process is about to, and its note stays."""
        stuck.end()
        if not dies:
            os.ftruncate(self._file, 0)

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
        except (FileNotFoundError, ValueError):
            return []

    def _write(self) -> None:
        rows = [list(astuple(suspect)) for suspect in self.suspects]
        if not rows:
            self._tally.unlink(missing_ok=True)
            return
        beside = self._tally.with_suffix(".new")
        beside.write_text(json.dumps(rows))
        beside.replace(self._tally)


def _left_by_the_dead(path: Path) -> list[Suspect]:
    """The note in a file, which is removed, if its process is gone."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return []
        path.unlink()
        try:
            return [Suspect(*row) for row in json.loads(file.read() or b"[]")]
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
