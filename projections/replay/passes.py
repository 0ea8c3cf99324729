"""Tells commands of one rebuild about each other, by locks of their sessions: a lock ends with its command, however that ends.

The command that holds a model's lock leads. It alone makes, finishes and shows builds. It opens a pass to others when one
asks, and closes it when all is folded. In between each command flushes the partitions that Kafka gives it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from refold.projections.replay.staging import Staging
from refold.projections.tables.builds import Build
from refold.streams.chunk import Place
from refold.streams.postgres import positions
from refold.streams.postgres.connection import Database

_LED, _OPEN, _ASKED = 0x5EF0D4, 0x5EF0D5, 0x5EF0D6
"""With a build's number: the lock of the command that leads, of a build that others may write to, and of those who would."""
_HELD = """
    SELECT pid, objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid::bigint = %s
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_END_SILENT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE pid = ANY(pg_blocking_pids(%s)) AND application_name = 'refold-replay'
"""
_STAND = "SELECT grp, topic, part, next_offset FROM refold.positions WHERE grp = ANY(%s)"
"""One statement for all builds, since a flush moves them in one transaction."""
_SILENT_S = 15.0
"""Seconds that a flush of partitions may stand still after Kafka gave them to another command; then its session is ended."""


@dataclass(frozen=True)
class Led:
    """A rebuild that another command leads, by its session in Postgres. `open`: the builds that others may write to now."""

    session: int
    numbers: tuple[int, ...]
    open: tuple[int, ...]

    @classmethod
    def of(cls, db: Database, numbers: Collection[int]) -> Self | None:
        """The rebuild that makes one of these builds, if it runs."""
        led, open_ = _held(db, _LED), _held(db, _OPEN)
        for session in sorted({pid for pid, number in led if number in numbers}):
            return cls(session, _of(led, session), _of(open_, session))
        return None

    @property
    def group(self) -> str:
        """Name of the consumer group that divides the work, without the installation's prefix."""
        return group_of(self.session, self.open)


def group_of(session: int, numbers: Sequence[int]) -> str:
    """Name of the consumer group of a pass. Another leader makes another one, so that it waits for no dead member."""
    return f"refold-build-{min(numbers)}-{session}"


def session_of(db: Database) -> int:
    """The number by which others know this session."""
    row = db.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def leading(db: Database, starts: Mapping[Any, Sequence[Staging]]) -> Iterator[None]:
    """Say within the block that this session leads the rebuild of some builds."""
    numbers = [staging.build.number for staged in starts.values() for staging in staged]
    _each(db, "pg_advisory_lock", _LED, numbers)
    try:
        yield
    finally:
        if not db.closed:
            _each(db, "pg_advisory_unlock", _LED, numbers)


@contextmanager
def opened(db: Database, staged: Sequence[Staging], places: Mapping[Place, int]) -> Iterator[None]:
    """Let others write to builds that stand at these places, within the block. Behind it no other command can flush."""
    numbers = [staging.build.number for staging in staged]
    with db.transaction():
        for staging in staged:
            positions.stored(db, staging.build.group, places)
            staging.share(db)
    _each(db, "pg_advisory_lock", _OPEN, numbers)
    try:
        yield
    finally:
        if not db.closed:
            _each(db, "pg_advisory_unlock", _OPEN, numbers)


def is_open(db: Database, session: int, numbers: Collection[int]) -> bool:
    """Whether a session lets others write to these builds now."""
    return set(numbers) <= set(_of(_held(db, _OPEN), session))


def ask(db: Database, numbers: Sequence[int]) -> None:
    """Ask the command that leads to open its builds, until `ask_no_more` or the session's end."""
    _each(db, "pg_advisory_lock_shared", _ASKED, numbers)


def ask_no_more(db: Database, numbers: Collection[int]) -> None:
    """End `ask`."""
    _each(db, "pg_advisory_unlock_shared", _ASKED, numbers)


def is_asked(db: Database, numbers: Collection[int]) -> bool:
    """Whether a command asks to join one of these builds. The one that leads has asked earlier, if it joined another's."""
    leads = {(pid, number) for pid, number in _held(db, _LED)}
    return any(number in numbers and (pid, number) not in leads for pid, number in _held(db, _ASKED))


def standing(db: Database, builds: Sequence[Build]) -> dict[Place, int] | None:
    """The positions at which all these builds stand; None if they differ."""
    found: dict[str, dict[Place, int]] = {build.group: {} for build in builds}
    rows = db.execute(_STAND.encode(), (list(found),)).fetchall()
    for group, topic, part, at in rows:
        found[group][topic, part] = at
    first, *others = found.values() or [None]
    return first if all(one == first for one in others) else None


def settled(
    db: Database, reads: Database, builds: Sequence[Build], places: Collection[Place]
) -> dict[Place, int] | None:
    """`standing`, after every flush of these places that is under way. One that stands still is undone."""
    with ThreadPoolExecutor(1, "settle") as waiting:
        done = waiting.submit(_wait, db, builds, places)
        while True:
            try:
                return done.result(_SILENT_S)
            except TimeoutError:
                reads.execute(_END_SILENT.encode(), (db.info.backend_pid,))


def _wait(db: Database, builds: Sequence[Build], places: Collection[Place]) -> dict[Place, int] | None:
    with db.transaction():
        positions.wait(db, [build.group for build in builds], places)
        return standing(db, builds)


def _held(db: Database, kind: int) -> list[tuple[int, int]]:
    """Session and build of each lock of a kind."""
    return db.execute(_HELD.encode(), (kind,)).fetchall()


def _of(held: Sequence[tuple[int, int]], session: int) -> tuple[int, ...]:
    return tuple(sorted(number for pid, number in held if pid == session))


def _each(db: Database, function: str, kind: int, numbers: Collection[int]) -> None:
    for number in sorted(numbers):
        db.execute(f"SELECT {function}(%s, %s)".encode(), (kind, number))
