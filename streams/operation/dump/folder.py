"""The files of a dump: Kafka's record batches as the broker stored them, and `dump.json`, which lists complete files.

    DIR/dump.json
    DIR/retail.basket.events/0/00000000000000000000.log      topic without prefix / partition / first offset

Each .log file is a segment in Kafka's sense: batches one after the other, each with its checksum (`kafka-dump-log`
reads it). `dump.json` has the SHA-256 of each file and of itself. It is written last: a file that it does not list is
not part of the dump.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from refold.streams.errors import LogCorrupt
from refold.streams.kafka.record_batches import RecordBatch, batches_of
from refold.streams.operation.dump.errors import DumpInUse, DumpUnsound, FolderNotEmpty
from refold.streams.private_files import write_private

FORMAT = 1
MANIFEST, _LOCK = "dump.json", "lock"
_VOLUMES_OWN = {"lost+found"}
"""Names in the root of an empty volume. Those that begin with a dot count as its own, too."""
SEGMENT_BYTES = 256 << 20
_PIECE = 4 << 20
_SEGMENT = re.compile(r"[0-9]{20}\.log")
_TOPIC = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Segment:
    """A complete file with the offsets `first` … `end - 1`."""

    first: int
    end: int
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Partition:
    """The dumped segments of one partition. `topic` lacks the prefix."""

    topic: str
    part: int
    segments: tuple[Segment, ...]

    @property
    def end(self) -> int:
        """The offset after the last dumped one."""
        return self.segments[-1].end if self.segments else 0

    @property
    def records(self) -> int:
        """The number of dumped records."""
        return sum(segment.records for segment in self.segments)


@dataclass(frozen=True)
class Manifest:
    """The contents of a dump. `largest`: max.message.bytes by topic. `cut_at`: time of the cut, RFC 3339 in UTC."""

    refold: str
    prefix: str
    cut_at: str
    largest: Mapping[str, int]
    partitions: tuple[Partition, ...]

    @property
    def records(self) -> int:
        """The number of records in all partitions."""
        return sum(partition.records for partition in self.partitions)

    def of(self, topic: str) -> list[Partition]:
        """The partitions of a topic, in order."""
        return sorted((each for each in self.partitions if each.topic == topic), key=lambda each: each.part)


class DumpFolder:
    """The files of a dump below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder, which holds a dump or nothing, against other processes.

        Raises DumpInUse, FolderNotEmpty, OSError.
        """
        there = {each.name for each in self.root.iterdir()}
        strange = sorted(name for name in there - _VOLUMES_OWN if not name.startswith("."))
        if strange and not there & {_LOCK, MANIFEST}:
            raise FolderNotEmpty(f"{self.root} holds {strange[0]}, and no dump has begun in it")
        with (self.root / _LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DumpInUse(f"another process works on {self.root}") from None
            yield

    def manifest(self) -> Manifest | None:
        """The manifest; None if no dump has ended yet. Raises DumpUnsound, OSError."""
        try:
            text = (self.root / MANIFEST).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return _manifest(json.loads(text))
        except (ValueError, TypeError, KeyError, RecursionError) as problem:
            raise DumpUnsound(f"{self.root / MANIFEST} has changed since it was written: {problem}") from problem

    def write(self, manifest: Manifest) -> None:
        """Write the manifest. Raises OSError."""
        content = {"format": FORMAT, **asdict(manifest)}
        write_private(self.root / MANIFEST, json.dumps({**content, "sha256": _digest(content)}, indent=1) + "\n")

    def file(self, topic: str, part: int, first: int) -> Path:
        """The path of a segment."""
        return self.root / topic / str(part) / f"{first:020d}.log"

    def unlisted(self, partition: Partition) -> list[Path]:
        """The files of an interrupted dump, in order."""
        listed = {f"{segment.first:020d}.log" for segment in partition.segments}
        folder = self.root / partition.topic / str(partition.part)
        there = folder.iterdir() if folder.is_dir() else ()
        return sorted(each for each in there if _SEGMENT.fullmatch(each.name) and each.name not in listed)

    def batches(self, partition: Partition, since: int = 0) -> Iterator[RecordBatch]:
        """The batches that hold offsets from `since` on, each with its checksum checked. Raises DumpUnsound, OSError."""
        for segment in partition.segments:
            if segment.end > since:
                yield from (batch for batch in self.segment(partition, segment) if batch.end > since)

    def segment(self, partition: Partition, segment: Segment) -> Iterator[RecordBatch]:
        """The batches of one file. Raises DumpUnsound if it does not hold exactly its manifest's offsets, OSError."""
        path, at, records = self.file(partition.topic, partition.part, segment.first), segment.first, 0
        try:
            for batch in batches_in(path):
                if batch.base < at:
                    raise DumpUnsound(f"{path}: the batch at offset {batch.base} follows offset {at - 1}")
                at, records = batch.end, records + batch.count
                yield batch
        except (LogCorrupt, FileNotFoundError) as problem:
            raise DumpUnsound(str(problem)) from problem
        if (at, records) != (segment.end, segment.records):
            raise DumpUnsound(f"{path} ends at offset {at}, and {MANIFEST} says {segment.end}")


class SegmentWriter:
    """Appends batches to one file. The file is part of the dump once the manifest lists it, after `finished`."""

    def __init__(self, path: Path, first: int) -> None:
        """Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._first, self._end, self._records, self.size = first, first, 0, 0
        self._sum = hashlib.sha256()

    def append(self, batch: RecordBatch) -> None:
        """Raises OSError."""
        self._file.write(batch.data)
        self._sum.update(batch.data)
        self._end, self._records, self.size = batch.end, self._records + batch.count, self.size + len(batch.data)

    def finished(self) -> Segment:
        """Flush the file to the disk, so that it survives the machine, and give its segment. Raises OSError."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()
        return Segment(self._first, self._end, self._records, self.size, self._sum.hexdigest())

    def close(self) -> None:
        """Close the file as it is: a dump that goes on reads it."""
        self._file.close()


def batches_in(path: Path) -> Iterator[RecordBatch]:
    """The batches of a file, a few megabytes at a time. Raises LogCorrupt if it ends within a batch, OSError."""
    kept, at = b"", 0
    with path.open("rb") as source:
        while piece := source.read(_PIECE):
            kept, taken = kept + piece, 0
            for batch in batches_of(kept, str(path)):
                yield batch
                taken += len(batch.data)
            kept, at = kept[taken:], at + taken
    if kept:
        raise LogCorrupt(f"{path} ends within the batch that begins at byte {at}")


def cut_to_sound(path: Path, first: int) -> Segment | None:
    """Cut a file off after its leading sound batches; give their segment, or None if there are none. Raises OSError."""
    found, end, records, size = hashlib.sha256(), first, 0, 0
    with suppress(LogCorrupt):
        for batch in batches_in(path):
            found.update(batch.data)
            end, records, size = batch.end, records + batch.count, size + len(batch.data)
    os.truncate(path, size)
    return Segment(first, end, records, size, found.hexdigest()) if size else None


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex. Raises OSError."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _manifest(found: dict[str, Any]) -> Manifest:
    said = found.pop("sha256")
    if found["format"] != FORMAT:
        raise ValueError(f"it is of format {found['format']}, and this code reads {FORMAT}")
    if said != _digest(found):
        raise ValueError("its checksum does not fit")
    partitions = tuple(
        Partition(each["topic"], each["part"], tuple(Segment(**segment) for segment in each["segments"]))
        for each in found["partitions"]
    )
    _refuse_odd(partitions)
    return Manifest(found["refold"], found["prefix"], found["cut_at"], found["largest"], partitions)


def _refuse_odd(partitions: Sequence[Partition]) -> None:
    """Raises ValueError for a topic's name that is no plain path, or segments that do not follow each other."""
    for each in partitions:
        ends = [0, *(segment.end for segment in each.segments)]
        if not _TOPIC.fullmatch(each.topic) or any(
            segment.first != end for segment, end in zip(each.segments, ends, strict=False)
        ):
            raise ValueError(f"{each.topic}/{each.part} is not a run of segments")


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
