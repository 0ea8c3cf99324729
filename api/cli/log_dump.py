"""The commands `refold log dump` and `refold log check`: write the log into files, and check the files."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refold.api.cli import exits
from refold.api.cli.output import print_json, print_table, say
from refold.api.cli.replay import reported
from refold.api.embedded.servers import connected
from refold.api.errors import FileUnreadable
from refold.schemas.plurals import counted
from refold.streams.domain import load_domains
from refold.streams.operation.dump.check import check_dump
from refold.streams.operation.dump.dump import dump_log
from refold.streams.operation.dump.folder import Manifest
from refold.streams.settings import Settings


def dump(folder: Path, *, json: bool = False) -> int:
    """Write the log into files, from the end of the last dump into the folder on. Everything may run meanwhile.

    Args:
        folder: the folder for the files; it is made if it is missing.
        json: print one JSON document.
    """
    settings = connected(Settings.load())
    domains, began = load_domains(settings.domains), time.perf_counter()
    new = 0
    with on_files(folder), reported("dump") as progress:

        def report(done: int, whole: int) -> None:
            nonlocal new
            new = done
            progress(done, whole)

        found = dump_log(settings, domains, folder, report)
    seconds = time.perf_counter() - began
    _show(found, folder, json=json, seconds=seconds, read=new, said=f"{new:,} new ones dumped")
    return exits.DONE


def check(folder: Path, *, json: bool = False) -> int:
    """Read a whole dump: every file's checksum, every batch's checksum, and that no offset is missing. Asks no server.

    Args:
        folder: the folder of `refold log dump`.
        json: print one JSON document.
    """
    began = time.perf_counter()
    with on_files(folder), reported("check") as progress:
        found = check_dump(folder, progress)
    _show(found, folder, json=json, seconds=time.perf_counter() - began, read=found.records, said="sound")
    return exits.DONE


@contextmanager
def on_files(folder: Path) -> Iterator[None]:
    """Turn an error of the disk into one that names the file."""
    try:
        yield
    except OSError as problem:
        raise FileUnreadable(f"{problem.filename or folder}: {problem.strerror or problem}") from problem


def described(found: Manifest) -> list[dict[str, Any]]:
    """A line for each topic."""
    topics = dict.fromkeys(partition.topic for partition in found.partitions)
    return [
        {
            "topic": topic,
            "partitions": len(found.of(topic)),
            "records": sum(each.records for each in found.of(topic)),
            "bytes": sum(segment.bytes for each in found.of(topic) for segment in each.segments),
        }
        for topic in topics
    ]


def _show(found: Manifest, folder: Path, *, json: bool, seconds: float, read: int, said: str) -> None:
    topics, rate = described(found), read / max(seconds, 1e-9)
    if json:
        ends = {f"{each.topic}/{each.part}": each.end for each in found.partitions}
        print_json(
            {
                "folder": str(folder),
                "cut_at": found.cut_at,
                "records": found.records,
                "read": read,
                "topics": topics,
                "ends": ends,
                "seconds": round(seconds, 2),
            }
        )
        return
    print_table(topics)
    say(
        f"{counted(found.records, 'records')} in {folder}, cut at {found.cut_at}: {said} in {seconds:,.1f} s ({rate:,.0f}/s)."
    )
