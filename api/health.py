"""What is asked to say whether the whole goes on: each source by itself, so that one that is away hides no other.

`refold status` looks, and once more where something seems to stand; the API looks again and again in the background (`seen`).
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import psycopg

from refold.projections.tables.serving import ModelState
from refold.streams.domain import Domains
from refold.streams.errors import LogRefused, Refused, Unreachable
from refold.streams.log.continuity import check_ends
from refold.streams.log.topics import check_seen_topics
from refold.streams.operation.lag import Lag, LagKey, LagReader
from refold.streams.operation.members import Member, MemberReader, unknown
from refold.streams.operation.presence import Live, Said, Trouble, said_members, try_to_write
from refold.streams.operation.verdict import Facts, Finding, findings, owners, suspects, unmoved
from refold.streams.postgres.connection import Database, has_table
from refold.streams.postgres.control_tables import Found as Tables
from refold.streams.postgres.restoring import why_not_whole
from refold.streams.postgres.tables_version import known
from refold.streams.reactors.declared import declared_reactors
from refold.streams.refusals import first_line, is_away
from refold.streams.settings import Settings
from refold.streams.standing import STILL_S

Result = TypeVar("Result")
MOVES_S = 3.0
"""So long one looks at what seems to stand: a fold moves twenty times in it."""
JOINS_S = 7.0
"""So long one looks at a member that nobody says it is: a killed process stays in its group for 6 s, and one that joined beats every 3."""


@dataclass(frozen=True)
class Look:
    """What was seen at one moment. `strangers`: members by the name of one of ours that nobody says it is."""

    at: float
    lags: Sequence[Lag]
    members: Sequence[Member]
    strangers: Sequence[Member]
    suspected: frozenset[LagKey]


class Health:
    """The facts of one database and log. Sources that do not answer become findings."""

    def __init__(
        self, db: Database, settings: Settings, domains: Domains, lags: LagReader, members: MemberReader
    ) -> None:
        self._db, self._settings, self._domains = db, settings, domains
        self._reader, self._members = lags, members
        self._unasked: dict[str, Finding] = {}
        self.roles = ["handler", "core", "models", *(["reactors"] if declared_reactors(domains) else [])]

    def look(self, live: Sequence[Live]) -> Look:
        """Ask Kafka and the tables once; where an operator has changed the topics, the log's answers would only follow from it."""
        self._asked(self._topics_are_right)
        lags = [] if self._unasked else self.lags()
        found = (self._asked(lambda: self._members.read(self.roles)) or []) if lags else []
        said = self._asked(lambda: said_members(self._db)) or Said(frozenset(), frozenset())
        settled = _settled(live)
        suspected = frozenset(key for key in suspects(lags) if key[0] in settled)
        return Look(time.monotonic(), lags, found, unknown(found, said), suspected)

    def looked_again(self, live: Sequence[Live], first: Look) -> Look:
        """Where something seems to stand: a second look, late enough to know. Else the first."""
        pause = JOINS_S if first.strangers else MOVES_S if first.suspected else 0.0
        if not pause:
            return first
        time.sleep(pause)
        return self.look(live)

    def findings(
        self,
        live: Sequence[Live],
        troubles: Sequence[Trouble],
        models: Sequence[ModelState],
        now: Look,
        before: Callable[[float], Look | None],
    ) -> list[Finding]:
        """All that stands still. `before` gives a look that is so many seconds older than `now`, if there was one."""
        then, long_ago = before(MOVES_S), before(JOINS_S)
        if now.lags:
            self._asked(partial(check_ends, self._reader.ends, self._db))
        self._try_to_write()
        known = {each.member_id for each in long_ago.strangers} if long_ago else set[str]()
        return findings(
            Facts(
                self.roles,
                Counter(each.role for each in live),
                now.lags,
                unmoved(set(now.suspected & then.suspected), then.lags, now.lags) if then else frozenset(),
                now.members,
                [each for each in now.strangers if each.member_id in known],
                troubles,
                {f"{state.domain}.{state.name}": state.detached_code for state in models if state.detached_code},
                self._parked(),
                list(self._unasked.values()),
            )
        )

    def _topics_are_right(self) -> None:
        """Raises LogRefused for what an operator has changed."""
        if has_table(self._db, "refold.topics"):
            check_seen_topics(self._settings, self._domains, self._db)

    def lags(self) -> list[Lag]:
        """How far everybody is behind; empty where no fold has begun, or where it cannot be asked."""
        if not has_table(self._db, "refold.claims"):
            return []
        return self._asked(lambda: self._reader.read(self._db)) or []

    def _asked(self, ask: Callable[[], Result]) -> Result | None:
        """The answer; what stands in its way is a finding."""
        try:
            return ask()
        except (LogRefused, Unreachable, Refused) as problem:
            role = "log" if isinstance(problem, LogRefused) else "kafka"
            self._unasked[problem.code] = Finding(problem.code, problem.message, problem.remedy, role)
            return None

    def _try_to_write(self) -> None:
        """A full disk lets one read. What is written is rolled back; a role that may not write is not told anything by it."""
        try:
            try_to_write(self._db)
        except psycopg.Error as problem:
            if self._db.broken:
                raise
            if is_away(problem):
                self._unasked["postgres-does-not-write"] = Finding(
                    "postgres-does-not-write",
                    f"Postgres does not write: {first_line(problem)}",
                    "give its disk room; workers go on by themselves",
                    "postgres",
                )

    def _parked(self) -> int:
        if not has_table(self._db, "refold.parked"):
            return 0
        found = self._db.execute("SELECT count(DISTINCT (category, stream)) FROM refold.parked").fetchone()
        return int(found[0]) if found else 0


def of_tables(db: Database, tables: Tables) -> list[Finding]:
    """Whether the platform's tables are those of this code, and whole. Raises psycopg.Error."""
    problem, why = tables.problem(), why_not_whole(db, known().layout.tables)
    found = [Finding(problem.code, problem.message, problem.remedy, "postgres")] if problem else []
    if why:
        do = "wait; if the restore was broken off, run it again (docs/backup.md)"
        found.append(Finding("database-unavailable", why, do, "postgres"))
    return found


def partitions(look: Look, live: Sequence[Live]) -> list[dict[str, Any]]:
    """Who has each partition of each group, since when that process runs, and how far it is."""
    by_owner, started = owners(look.members), {each.pid: each for each in live}
    return [_partition(lag, by_owner.get((lag.group, (lag.topic, lag.part))), started) for lag in look.lags]


def _settled(live: Sequence[Live]) -> set[str]:
    """The roles that have run long enough to be judged by what they have done."""
    young = datetime.now(UTC) - timedelta(seconds=STILL_S)
    return {each.role for each in live if each.started_at < young}


def _partition(lag: Lag, owner: Member | None, started: dict[int, Live]) -> dict[str, Any]:
    process = started.get(owner.pid) if owner is not None and owner.pid is not None else None
    return {
        **asdict(lag),
        "owner": None
        if owner is None
        else f"{owner.pid}@{owner.host}"
        if not owner.is_foreign
        else f"foreign: {owner.client_id}",
        "owner_started_at": process.started_at if process else None,
        "owner_code": [code.fingerprint for code in process.code] if process else None,
    }
