"""Finds the records that kill a decoder, by decoding them in a child process that may die.

The child (`python -m refold.streams.guard.probe DOMAINS CATEGORY events|commands`) reads groups of values from
standard input, decodes each group in every way that a worker would, and answers with one byte. If no byte comes, the
group killed it.
"""

import logging
import os
import select
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from refold.schemas.codec import Codec
from refold.schemas.columns.decoder import ColumnDecoder, read_heads
from refold.schemas.errors import RefoldError
from refold.streams.chunk import Chunk
from refold.streams.domain import Domains, load_domains
from refold.streams.rules.decoded import EventDecoder

_log = logging.getLogger(__name__)
Values = Sequence[bytes | None]
GROUP_RECORDS = 256
MOST_KILLERS = 32
PATIENCE_S, _SAID_S = 60.0, 5.0
"""Seconds to wait for an answer, and for the child's last words. A decode that takes longer counts as a death."""
_MOST_SAID = 10_000
_LENGTH = struct.Struct(">i")
_NULL = -1


@dataclass(frozen=True)
class Probe:
    """Asks child processes about the records of one topic."""

    domains: Sequence[str]
    category: str
    is_events: bool

    def killers(self, values: Values) -> list[int]:
        """The rows that kill, at most MOST_KILLERS of them. A row counts only if it also killed twice alone."""
        groups = [range(at, min(at + GROUP_RECORDS, len(values))) for at in range(0, len(values), GROUP_RECORDS)]
        dead = self._dead([[values[row] for row in rows] for rows in groups])
        rows = [row for group in dead for row in groups[group]]
        suspects = [rows[at] for at in self._dead([[values[row]] for row in rows])]
        return [row for row in suspects if self._dead([[values[row]]])]

    def _dead(self, groups: Sequence[Values]) -> list[int]:
        """The groups that killed a child, each tried by one child after the other."""
        dead: list[int] = []
        at = 0
        while at < len(groups) and len(dead) < MOST_KILLERS:
            at += self._survived(groups[at:])
            if at < len(groups):
                dead.append(at)
                at += 1
        return dead

    def _survived(self, groups: Sequence[Values]) -> int:
        """The number of groups that a new child decoded before it died."""
        topic = "events" if self.is_events else "commands"
        arguments = [sys.executable, "-P", "-m", __name__, ",".join(self.domains), self.category, topic]
        path = [*sys.path, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}  # the child has the code that we have
        pipe = subprocess.PIPE
        with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as child, _heard(child):
            assert child.stdin is not None
            assert child.stdout is not None
            try:
                if not _answered(child.stdout.fileno()):
                    raise RuntimeError("the probe did not start")
                for done, values in enumerate(groups):
                    if not _asked(child.stdin.fileno(), values) or not _answered(child.stdout.fileno()):
                        return done
            finally:
                child.kill()
        return len(groups)


@contextmanager
def _heard(child: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Log the child's standard error, at most its last part, as one line."""
    said: list[bytes] = []

    def listen() -> None:
        while child.stderr and (some := os.read(child.stderr.fileno(), _MOST_SAID)):
            said[:] = [b"".join([*said, some])[-_MOST_SAID:]]

    listening = threading.Thread(target=listen, name="probe-said", daemon=True)
    listening.start()
    try:
        yield
    finally:
        listening.join(_SAID_S)
        if text := b"".join(said).decode(errors="replace").strip():
            _log.warning("a process that tries records said: %s", text)


def _asked(to: int, values: Values) -> bool:
    parts = [_LENGTH.pack(len(values))]
    parts += [_LENGTH.pack(_NULL if value is None else len(value)) + (value or b"") for value in values]
    left = memoryview(b"".join(parts))
    try:
        while left:
            left = left[os.write(to, left) :]
    except BrokenPipeError:
        return False
    return True


def _answered(where: int) -> bool:
    ready, _, _ = select.select([where], [], [], PATIENCE_S)
    return bool(ready) and os.read(where, 1) == b"."


def decoding(domains: Domains, category: str, *, is_events: bool) -> Callable[[Values], None]:
    """Makes a function that decodes records of a topic in every way that any worker does."""
    codec, columns = Codec(domains.catalog), EventDecoder(domains.catalog)
    thin = ColumnDecoder(domains.catalog, thin=True)
    kinds = [event.__name__ for event in domains.categories[category].events]

    def decode(values: Values) -> None:
        for value in values:
            _harmless(lambda value=value: codec.read_events(value) if is_events else codec.read_command(value))  # type: ignore[misc]  # mypy infers no type for a lambda with a bound default
        if is_events:
            heads = read_heads(values)
            _harmless(lambda: columns.decode(Chunk("", 0, 0, values, [b""] * len(values)), category, heads))
            for kind in kinds:
                _harmless(lambda kind=kind: thin.events(category, kind, values, heads))  # type: ignore[misc]  # as above

    return decode


def _harmless(decode: Callable[[], object]) -> None:
    """Decode; ignore an error, since workers handle errors, and only deaths count here."""
    try:
        decode()
    except (RefoldError, ArithmeticError, LookupError, TypeError, ValueError):
        return


def main(arguments: Sequence[str]) -> None:
    """Run the child: answer until the input ends."""
    names, category, topic = arguments
    out = os.dup(1)
    os.dup2(2, 1)  # a domain's own prints, even those of its import, must not look like answers
    decode = decoding(load_domains(names.split(",")), category, is_events=topic == "events")
    os.write(out, b".")
    while head := sys.stdin.buffer.read(_LENGTH.size):
        values: list[bytes | None] = []
        for _ in range(_LENGTH.unpack(head)[0]):
            size = _LENGTH.unpack(sys.stdin.buffer.read(_LENGTH.size))[0]
            values.append(None if size == _NULL else sys.stdin.buffer.read(size))
        decode(values)
        os.write(out, b".")


if __name__ == "__main__":
    main(sys.argv[1:])
