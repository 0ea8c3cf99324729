"""Checks that a dump is intact: checksums of files and batches, and that each file holds what the manifest lists."""

from pathlib import Path

from refold.streams.errors import LogCorrupt
from refold.streams.kafka.repack import records_of
from refold.streams.operation.dump.dump import Progress
from refold.streams.operation.dump.errors import DumpUnsound
from refold.streams.operation.dump.folder import MANIFEST, DumpFolder, Manifest, sha256_of


def check_dump(root: Path, progress: Progress) -> Manifest:
    """Read the whole dump and give its manifest. Raises DumpUnsound at the first fault, OSError."""
    folder = DumpFolder(root)
    found = whole(folder)
    done = 0
    for partition in found.partitions:
        for segment in partition.segments:
            path = folder.file(partition.topic, partition.part, segment.first)
            if not path.exists():
                raise DumpUnsound(f"{path} is not there")
            for batch in folder.segment(partition, segment):
                try:
                    done += sum(1 for _ in records_of(batch, str(path)))
                except LogCorrupt as problem:
                    raise DumpUnsound(problem.message) from problem
                progress(done, found.records)
            if sha256_of(path) != segment.sha256:
                raise DumpUnsound(f"{path}: its SHA-256 is not the one that {MANIFEST} has")
    return found


def whole(folder: DumpFolder) -> Manifest:
    """The folder's manifest. Raises DumpUnsound if no dump into it has ended."""
    found = folder.manifest()
    if found is None:
        raise DumpUnsound(f"{folder.root} has no {MANIFEST}: no dump into it has ended")
    return found
