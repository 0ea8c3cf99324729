"""Shows which processes of Refold run, and with which code: each keeps a row in `refold.processes` while it lives."""

import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

import refold
from refold.schemas.errors import RefoldError
from refold.streams import journal
from refold.streams.chunk import Place
from refold.streams.operation.running_code import Code
from refold.streams.postgres.connection import Database, connect, has_table
from refold.streams.postgres.control_tables import bootstrap
from refold.streams.postgres.tables_version import known
from refold.streams.refusals import first_line
from refold.streams.standing import MEMBERS, STALE_S, STANDING, waits_longest

_TABLE = "refold.processes"
BEAT_S = 3.0
_SOON_S, _REFUSED_S, _FORGET_S = 0.5, 10.0, 60.0
_REFUSED = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction, RefoldError)
_log = logging.getLogger(__name__)

Name = tuple[str, str]
"""Domain and model."""
_BEAT = """
    INSERT INTO refold.processes (process, role, host, pid, started_at, seen_at, version, code, writes, standing, trouble, trouble_at, tables)
    VALUES (%s, %s, %s, %s, now(), now(), %s, %s, %s, %s, %s, now() - make_interval(secs => %s), %s)
    ON CONFLICT (process) DO UPDATE
       SET seen_at = now(), standing = excluded.standing, trouble = excluded.trouble, trouble_at = excluded.trouble_at
"""
TROUBLES_NOW = f"""
    SELECT role, host, pid, trouble, extract(epoch FROM now() - trouble_at)::float8 FROM refold.processes
     WHERE trouble IS NOT NULL AND seen_at >= now() - interval '1 s' *
           CASE WHEN starts_with(trouble, 'ended: ') THEN {_FORGET_S} ELSE {STALE_S} END
     ORDER BY trouble_at, role, host, pid
"""
"""SQL of the rows that `troubles` gives."""
_PRUNE = """
    DELETE FROM refold.processes p WHERE seen_at < now() - make_interval(secs => %s)
       AND EXISTS (SELECT 1 FROM refold.processes n WHERE n.role = p.role AND n.seen_at > p.seen_at)
"""
"""SQL that deletes stale rows. A role's last row stays until its next process, so a missing role shows."""
MISSING_NOW = f"""
    SELECT role, max(seen_at) FROM refold.processes WHERE role <> 'api'
     GROUP BY role HAVING max(seen_at) < now() - interval '{STALE_S} s' ORDER BY role
"""
"""SQL of the roles whose processes ended without leaving, each with the time at which one was last seen."""
_MEMBERS = """
    SELECT host, pid, coalesce((SELECT array_agg(said ->> 'member') FROM jsonb_array_elements(standing) said WHERE said ? 'member'), '{}')
      FROM refold.processes WHERE seen_at >= now() - make_interval(secs => %s)
"""
_LIVE = """
    SELECT process, role, host, pid, started_at, extract(epoch FROM now() - seen_at)::float8, version, code, writes
      FROM refold.processes
     WHERE seen_at >= now() - make_interval(secs => %s) AND NOT starts_with(coalesce(trouble, ''), 'ended: ')
     ORDER BY role, host, pid
"""


@dataclass(frozen=True)
class Live:
    """A process that was seen in the last STALE_S seconds. `writes`: of the role models, each model's fingerprint."""

    process: UUID
    role: str
    host: str
    pid: int
    started_at: datetime
    seen_s: float
    version: str
    code: tuple[Code, ...]
    writes: Mapping[Name, str]


@dataclass(frozen=True)
class Me:
    """This process, as its row shows it to others."""

    role: str
    code: Sequence[Code]
    writes: Mapping[Name, str] = field(default_factory=dict)
    process: UUID = field(default_factory=uuid4)

    def beat(self, db: Database, ended: str | None = None) -> None:
        """Write that this process lives, or why it ends; delete rows of dead processes. Raises psycopg.Error."""
        writes = [{"domain": d, "model": m, "fingerprint": print_} for (d, m), print_ in sorted(self.writes.items())]
        code = Jsonb([asdict(each) for each in self.code])
        standing: list[dict[str, Any]] = [
            {"topic": topic, "part": part, "writer": str(writer), "next": at}
            for (topic, part), (writer, at) in sorted(STANDING.copy().items())
        ]
        standing += [{"member": member} for member in sorted(MEMBERS.copy().values())]
        trouble = (0.0, f"ended: {ended}") if ended else waits_longest()
        since, why = trouble or (None, None)
        host, pid, said = socket.gethostname(), os.getpid(), (Jsonb(writes), Jsonb(standing), why, since)
        row = (self.process, self.role, host, pid, refold.__version__, code, *said, known().version)
        with db.transaction():
            db.execute(_BEAT, row)
            db.execute(_PRUNE, (_FORGET_S,))

    def leave(self, db: Database) -> None:
        """Delete this process's row. Raises psycopg.Error."""
        db.execute("DELETE FROM refold.processes WHERE process = %s", (self.process,))


def live_processes(db: Database) -> list[Live]:
    """The running processes, by role; none if no process has made the table yet. Raises psycopg.Error."""
    return [_live(row) for row in db.execute(_LIVE, (STALE_S,)).fetchall()] if has_table(db, _TABLE) else []


def _live(row: Sequence[Any]) -> Live:
    process, role, host, pid, started_at, seen_s, version, code, writes = row
    found = tuple(Code(**each) for each in code)
    by_name = {(each["domain"], each["model"]): each["fingerprint"] for each in writes}
    return Live(process, role, host, pid, started_at, seen_s, version, found, by_name)


def disagreements(live: Sequence[Live], ours: Sequence[Code]) -> list[str]:
    """A sentence for each domain whose code differs among running processes and this one, and one for versions."""
    here = [("this command", code) for code in ours]
    all_ = here + [(f"{each.role} {each.pid}@{each.host}", code) for each in live for code in each.code]
    found = []
    for domain in sorted({code.domain for _, code in all_}):
        have: dict[tuple[str, str], list[str]] = {}
        for who, code in all_:
            if code.domain == domain:
                have.setdefault((code.fingerprint, code.file), []).append(who)
        if len({fingerprint for fingerprint, _ in have}) > 1:
            told = "; ".join(f"{print_} from {file} in {', '.join(whose)}" for (print_, file), whose in have.items())
            found.append(f"different code of domain {domain} runs at once: {told}")
    versions = sorted({each.version for each in live} | {refold.__version__})
    return found + ([f"different versions of Refold run at once: {', '.join(versions)}"] if len(versions) > 1 else [])


def handlers_at(db: Database) -> dict[tuple[Place, UUID], int]:
    """The next offsets of living handlers, by partition of commands and claim's writer. Raises psycopg.Error."""
    if not has_table(db, _TABLE):
        return {}
    rows = db.execute(
        "SELECT s.topic, s.part, s.writer, s.next FROM refold.processes,"
        " jsonb_to_recordset(standing) AS s(topic text, part int, writer uuid, next bigint)"
        " WHERE seen_at >= now() - make_interval(secs => %s) AND topic IS NOT NULL",
        (STALE_S,),
    ).fetchall()
    return {((topic, part), writer): at for topic, part, writer, at in rows}


@dataclass(frozen=True)
class Said:
    """The member ids that processes of the last minute published, dead ones too.

    `silent`: host and pid of the processes that published none.
    """

    members: frozenset[str]
    silent: frozenset[tuple[str, int]]


def said_members(db: Database) -> Said:
    """Our processes' members in Kafka's consumer groups. Raises psycopg.Error."""
    rows = db.execute(_MEMBERS, (_FORGET_S,)).fetchall() if has_table(db, _TABLE) else []
    return Said(
        frozenset(member for _, _, found in rows for member in found),
        frozenset((host, pid) for host, pid, found in rows if not found),
    )


@dataclass(frozen=True)
class Trouble:
    """A process that waits for something, or one that ended by an error within the last minute (`ended: …`)."""

    role: str
    host: str
    pid: int
    says: str
    seconds: float

    @property
    def has_ended(self) -> bool:
        return self.says.startswith("ended: ")


def troubles(db: Database) -> list[Trouble]:
    """The troubles of all processes, the longest first. Raises psycopg.Error."""
    if not has_table(db, _TABLE):
        return []
    return [Trouble(*row) for row in db.execute(TROUBLES_NOW.encode()).fetchall()]


def stand_still(found: Sequence[Trouble]) -> list[Trouble]:
    """Troubles that count as standing still: waits longer than STALE_S, and repeated ends of a role in a minute."""
    ended = Counter(trouble.role for trouble in found if trouble.has_ended)
    return [each for each in found if (ended[each.role] > 1 if each.has_ended else each.seconds > STALE_S)]


def ending(problem: BaseException) -> None:
    """Publish for a minute why this process ends; ignore any failure of that."""
    if _HERE:
        with suppress(psycopg.Error, RefoldError):
            name = problem.code if isinstance(problem, RefoldError) else type(problem).__name__
            deliberate = isinstance(problem, SystemExit)
            _HERE[-1].say_last(first_line(problem) if deliberate else f"{name}: {first_line(problem)}")


_HERE: list["Presence"] = []


class Presence:
    """`with Presence(dsn, me):` keeps our row, in a thread with its own connection. Failures there disturb nobody."""

    def __init__(self, dsn: str, me: Me) -> None:
        self._dsn, self._me = dsn, me
        self._db: Database | None = None
        self._told = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="presence", daemon=True)

    def __enter__(self) -> Self:
        """Write the first row before the process does anything else, if Postgres answers."""
        self._pause = self._beat()
        self._thread.start()
        _HERE.append(self)
        return self

    def say_last(self, ended: str) -> None:
        """Write why we end, on a new connection: the thread's may be in use. Raises psycopg.Error, RefoldError."""
        self._stopping.set()
        with closing(connect(self._dsn, application_name="presence")) as db:
            self._me.beat(db, ended[:500])

    def __exit__(self, _: object, problem: BaseException | None, __: object) -> None:
        if isinstance(problem, Exception):
            ending(problem)
        _HERE.remove(self)
        self._stopping.set()
        self._thread.join(_FORGET_S)
        try:
            if self._db is not None and not isinstance(problem, Exception):
                self._me.leave(self._db)
        except psycopg.Error as refused:
            _log.debug("the row of this process stays until it is stale: %s", first_line(refused))
        self._hang_up()

    def _keep(self) -> None:
        while not self._stopping.wait(self._pause):
            self._pause = self._beat()

    def _beat(self) -> float:
        """Write our row; give the seconds until it must be written again."""
        try:
            self._me.beat(self._connected())
        except (psycopg.Error, RefoldError) as problem:
            self._hang_up()
            if not self._told:
                _log.info(
                    "`refold status` does not show this process: %s", first_line(problem), extra=journal.about(problem)
                )
            self._told = True
            return _REFUSED_S if isinstance(problem, _REFUSED) else _SOON_S
        self._told = False
        return BEAT_S

    def _connected(self) -> Database:
        if self._db is None:
            self._db = connect(self._dsn, application_name="presence")
            if not has_table(self._db, _TABLE):
                bootstrap(self._db)
        return self._db

    def _hang_up(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = None


def try_to_write(db: Database) -> None:
    """Write a row as a process would, and roll it back. Raises psycopg.Error if that fails, as on a full disk."""
    with db.transaction(force_rollback=True):
        db.execute(
            "INSERT INTO refold.processes (process, role, host, pid, started_at, seen_at, version, code, writes, standing) VALUES (%s, 'probe', '', 0, now(), now(), '', '[]', '[]', '[]')",
            (uuid4(),),
        )
