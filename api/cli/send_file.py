"""Sends a file of commands like a batch over HTTP, and counts their outcomes: `refold send --file`."""

import asyncio
import hashlib
import stat
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from uuid import UUID, uuid5

import msgspec

from refold.api.cli import exits
from refold.api.cli.output import print_json, print_table, reporting, say
from refold.api.embedded.jars import Report
from refold.api.embedded.servers import connected
from refold.api.errors import FileUnreadable
from refold.api.http.commands.batch import LineAnswer, LineBatch, lines_by_id
from refold.api.http.doors.principal import ASKS, EVERYBODY
from refold.api.http.resources import Resources
from refold.streams.domain import load_domains
from refold.streams.settings import Settings

NAMESPACE = UUID("c1f7f0a5-0d35-5f0e-9a51-0d5a9d1b7e64")
DELIVERY_S = 600.0
"""Seconds that a delivery may take: longer than any restart of the broker. Otherwise later commands could overtake."""
READY_S = 30.0
_PIECE_BYTES = 1 << 16
_SAY_EVERY_S = 5.0
_ENCODER = msgspec.json.Encoder()


@dataclass
class Tally:
    """Counts of lines by answer, and the progress through the file."""

    size: int
    began: float = field(default_factory=time.monotonic)
    read: int = 0
    counts: Counter[tuple[int, str]] = field(default_factory=Counter)
    first: dict[tuple[int, str], str] = field(default_factory=dict)

    def take(self, answers: Iterable[LineAnswer]) -> None:
        """Count some answers, and remember the first of each kind."""
        for answer in answers:
            kind = answer["status"], answer.get("code", "")
            self.counts[kind] += 1
            if answer["status"] != 201 and kind not in self.first:
                self.first[kind] = f"line {answer['line']}: {answer.get('detail', 'in the log, not decided yet')}"

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return max(time.monotonic() - self.began, 1e-6)

    def progress(self) -> str:
        """One line: lines done, rate, remaining time."""
        done = self.counts.total()
        left = self.seconds * (self.size - self.read) / self.read if self.read else 0.0
        return f"{done:,} lines answered, {done / self.seconds:,.0f}/s, about {left:,.0f} s left"

    def rows(self) -> list[dict[str, Any]]:
        """The counts by status and code."""
        return [
            {"status": status, "code": code, "lines": lines, "first": self.first.get((status, code), "")}
            for (status, code), lines in sorted(self.counts.items())
        ]


def send_file(path: Path, wait: float, results: Path | None, *, json: bool) -> int:
    """Send every line and print the result. Returns 1 unless all were accepted. Raises FileUnreadable."""
    try:
        _check(path, results)
        tally = Tally(path.stat().st_size)
        names = _content_id(path)
        with ExitStack() as files:
            source = files.enter_context(path.open("rb"))
            written = files.enter_context(results.open("wb")) if results else None
            with reporting("sending") as report:
                asyncio.run(_send(source, written, tally, names, wait, report))
    except OSError as problem:
        raise FileUnreadable(f"{problem.filename}: {problem.strerror}") from problem
    _tell(tally, json=json)
    return exits.DONE if set(tally.counts) <= {(201, "")} else exits.FAILED


def _check(path: Path, results: Path | None) -> None:
    """Raise FileUnreadable for a path that would otherwise be sent as an empty file."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise FileUnreadable(
            f"{path} is not a regular file, so it cannot be read twice (first for the ids of lines without one)"
        )
    if results is not None and results.exists() and results.samefile(path):
        raise FileUnreadable(f"{path} cannot hold both the commands and the answers to them")


async def _send(
    source: IO[bytes], written: IO[bytes] | None, tally: Tally, names: UUID, wait: float, report: Report
) -> None:
    settings = connected(Settings.load())
    ASKS.set(EVERYBODY)  # who has the addresses of Kafka and Postgres passes no door
    resources = Resources(settings, load_domains(settings.domains), delivery_s=DELIVERY_S)
    async with resources.opened():
        await resources.preparation.ready(READY_S)
        commands = resources.commands()
        batch = LineBatch(commands, wait, lines_by_id(commands.domains, lambda line: str(uuid5(names, str(line)))))
        said = time.monotonic()
        async for answers in batch.answers(_pieces(source, tally)):
            tally.take(answers)
            if written is not None:
                written.write(_ENCODER.encode_lines(answers))
            if time.monotonic() - said >= _SAY_EVERY_S:
                report(tally.progress())
                said = time.monotonic()
        report(tally.progress())


async def _pieces(source: IO[bytes], tally: Tally) -> AsyncIterator[bytes]:
    for piece in _read(source):
        tally.read += len(piece)
        yield piece


def _read(source: IO[bytes]) -> Iterator[bytes]:
    while piece := source.read(_PIECE_BYTES):
        yield piece


def _content_id(path: Path) -> UUID:
    """The prefix for ids of lines that have none: a hash of the whole file, so another file gets other ids."""
    with path.open("rb") as source:
        return uuid5(NAMESPACE, hashlib.file_digest(source, "sha256").hexdigest())


def _tell(tally: Tally, *, json: bool) -> None:
    rows, total = tally.rows(), tally.counts.total()
    if json:
        seconds = round(tally.seconds, 2)
        print_json({"lines": total, "seconds": seconds, "per_s": round(total / tally.seconds), "results": rows})
    else:
        print_table(rows)
    if any(status in {202, 429, 503} for status, _ in tally.counts):
        say("Some lines have no outcome yet. Run the same command again: decided lines are not sent twice.")
