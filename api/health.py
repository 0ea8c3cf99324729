"""The questions that tell whether everything goes on. Each source is asked on its own: one that is away hides no other.

`refold status` looks once, and again if something seems to stand still; the API looks repeatedly in the background
(`seen`).
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import psycopg
from confluent_kafka import KafkaException

from refold.projections.tables.serving import ModelState
from refold.streams.domain import Domains
from refold.streams.errors import LogRefused, Refused, Unreachable
from refold.streams.kafka.clients import check_answers
from refold.streams.log.continuity import check_ends
from refold.streams.log.topics import check_seen_topics
from refold.streams.operation.lag import Lag, LagKey, LagReader
from refold.streams.operation.last_seen import LastSeen, last_seen
from refold.streams.operation.members import Member, MemberReader, unknown
from refold.streams.operation.presence import Live, Said, Trouble, live_processes, said_members, try_to_write
from refold.streams.operation.verdict import Facts, Finding, findings, owners, suspects, unmoved
from refold.streams.postgres.connection import Database, has_table
from refold.streams.postgres.control_tables import Found as Tables
from refold.streams.postgres.restoring import AFTER_RESTORE, why_not_whole
from refold.streams.postgres.tables_version import known
from refold.streams.reactors.declared import declared_reactors
from refold.streams.refusals import first_line, is_away, of_kafka
from refold.streams.settings import Settings
from refold.streams.standing import STILL_S

Result = TypeVar("Result")
ANSWERS_S = 4.0
"""Seconds after which Kafka counts as away for a process that looks repeatedly, and nothing more is asked of it."""
MOVES_S = 3.0
"""Seconds between two looks at a fold that seems to stand still; a fold moves twenty times in them."""
BEATS_S = 5.0
"""Seconds before a role without a fresh row counts as missing: a restored row is old, and each process renews its row every 3 s."""
JOINS_S = 7.0
"""Seconds before an undeclared member counts as a stranger.

A killed process stays in its group for 6 s, and a new member beats every 3 s.
"""


@dataclass(frozen=True)
class Look:
    """The facts at one moment. `strangers`: group members with one of our names that no process of ours declares.

    `began`: when it was asked which processes live, which may be long before `at` if Kafka is silent.
    """

    at: float
    lags: Sequence[Lag]
    members: Sequence[Member]
    strangers: Sequence[Member]
    suspected: frozenset[LagKey]
    live: Sequence[Live] = ()
    began: float = 0.0


class Health:
    """The facts of one database and log. A source that does not answer becomes a finding."""

    def __init__(
        self,
        db: Database,
        settings: Settings,
        domains: Domains,
        lags: LagReader,
        members: MemberReader,
        *,
        answers_s: float = ANSWERS_S,
    ) -> None:
        """`answers_s`: seconds after which Kafka counts as away."""
        self._db, self._settings, self._domains, self._answers_s = db, settings, domains, answers_s
        self._reader, self._members = lags, members
        self._unasked: dict[str, Finding] = {}
        self.roles = ["handler", "core", "models", *(["reactors"] if declared_reactors(domains) else [])]

    def look(self, live: Sequence[Live]) -> Look:
        """Ask Kafka and the tables once.

        After a change of the topics by an operator the log's answers would only follow from it, so they are not asked.
        """
        began = time.monotonic()
        if not self._unasked:
            self._asked(self._topics_are_right)
        lags = [] if self._unasked else self.lags()
        found = (self._asked(lambda: self._members.read(self.roles)) or []) if lags else []
        said = self._asked(lambda: said_members(self._db)) or Said(frozenset(), frozenset())
        settled = _settled(live)
        suspected = frozenset(key for key in suspects(lags) if key[0] in settled)
        return Look(time.monotonic(), lags, found, unknown(found, said), suspected, live, began)

    def looked_again(self, first: Look) -> Look:
        """A second look, late enough to be certain, if something seems to stand still; else the first."""
        silent = bool(self._last_seen().keys() - _running(first).keys())
        if not (first.strangers or silent or first.suspected):
            return first
        pause = JOINS_S if first.strangers else MOVES_S if first.suspected else 0.0
        left = BEATS_S - (time.monotonic() - first.began) if silent else 0.0
        time.sleep(max(pause, left, 0.0))
        return self.look(live_processes(self._db))

    def _last_seen(self) -> dict[str, LastSeen]:
        return last_seen(self._db) if has_table(self._db, "refold.processes") else {}

    def findings(
        self,
        troubles: Sequence[Trouble],
        models: Sequence[ModelState],
        now: Look,
        before: Callable[[float], Look | None],
    ) -> list[Finding]:
        """Everything that stands still.

        `before(seconds)` returns a look that is that much older than `now`, if there is one.
        """
        then, a_beat_ago, long_ago = before(MOVES_S), before(BEATS_S), before(JOINS_S)
        if now.lags:
            self._asked(partial(check_ends, self._reader.ends, self._db))
        self._try_to_write()
        known = {each.member_id for each in long_ago.strangers} if long_ago else set[str]()
        return findings(
            Facts(
                self.roles,
                _running(now) | (_running(a_beat_ago) if a_beat_ago else Counter()),
                self._last_seen(),
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
        """Raise LogRefused for a change of the topics by an operator, KafkaUnavailable within `answers_s`."""
        if has_table(self._db, "refold.topics"):
            try:
                check_answers(self._settings.kafka_servers(), self._answers_s)
            except KafkaException as problem:
                raise of_kafka(problem.args[0], "topics, lag and owners were not asked") from problem
            check_seen_topics(self._settings, self._domains, self._db)

    def lags(self) -> list[Lag]:
        """The lag of every group and partition; empty if no fold has begun, or if it cannot be asked."""
        if not has_table(self._db, "refold.claims"):
            return []
        return self._asked(lambda: self._reader.read(self._db)) or []

    def _asked(self, ask: Callable[[], Result]) -> Result | None:
        """The answer, or None: an error becomes a finding."""
        try:
            return ask()
        except (LogRefused, Unreachable, Refused) as problem:
            role = "log" if isinstance(problem, LogRefused) else "kafka"
            self._unasked[problem.code] = Finding(problem.code, problem.message, problem.remedy, role)
            return None

    def _try_to_write(self) -> None:
        """Try to write and roll back, since a full disk still allows reads.

        A role that may not write learns nothing by it.
        """
        try:
            try_to_write(self._db)
        except psycopg.Error as problem:
            if self._db.broken:
                raise
            if is_away(problem):
                self._unasked["postgres-does-not-write"] = Finding(
                    "postgres-does-not-write",
                    f"Postgres does not write: {first_line(problem)}",
                    "free space on its disk; workers go on by themselves",
                    "postgres",
                )

    def _parked(self) -> int:
        if not has_table(self._db, "refold.parked"):
            return 0
        found = self._db.execute("SELECT count(DISTINCT (category, stream)) FROM refold.parked").fetchone()
        return int(found[0]) if found else 0


def of_tables(db: Database, tables: Tables) -> list[Finding]:
    """Whether the platform's tables are this code's, and whole. Raises psycopg.Error."""
    problem, why = tables.problem(), why_not_whole(db, known().layout.tables)
    found = [Finding(problem.code, problem.message, problem.remedy, "postgres")] if problem else []
    if why:
        found.append(Finding("database-unavailable", why, AFTER_RESTORE, "postgres"))
    return found


def partitions(look: Look, live: Sequence[Live]) -> list[dict[str, Any]]:
    """The owner of each group's partitions, the start of its process, and its position."""
    by_owner, started = owners(look.members), {each.pid: each for each in live}
    return [_partition(lag, by_owner.get((lag.group, (lag.topic, lag.part))), started) for lag in look.lags]


def _running(look: Look) -> Counter[str]:
    return Counter(each.role for each in look.live)


def _settled(live: Sequence[Live]) -> set[str]:
    """The roles that have run long enough to be judged by their progress."""
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
