"""Watches everything from moment to moment: lag, rates, builds under way, processes, and whatever stands still."""

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg

from refold.api.health import Health, Look, of_tables
from refold.projections.tables.serving import model_states
from refold.streams.domain import Domains
from refold.streams.operation.lag import Lag, LagReader
from refold.streams.operation.members import MemberReader
from refold.streams.operation.presence import Live, Trouble, live_processes, troubles
from refold.streams.operation.verdict import Finding
from refold.streams.postgres.connection import ABSENT, Database, connect, has_table
from refold.streams.postgres.control_tables import look
from refold.streams.reactors.declared import reacted_categories
from refold.streams.refusals import first_line
from refold.streams.settings import Settings

_KEPT_S = 20.0
"""Seconds for which looks are kept: a standstill is judged by two of them, and a rate by the time between them."""
_RATE_S = 5.0
"""Seconds over which a rate is taken, so that it does not jump with each transaction."""
_BUILDING = """
    SELECT b.build, b.domain || '.' || b.model, coalesce(b.detached_code, b.status), sum(p.next_offset)::bigint, sum(c.next_offset)::bigint
      FROM refold.builds b JOIN refold.positions p ON p.grp = 'build:' || b.build
      JOIN refold.positions c ON (c.grp, c.topic, c.part) = ('core', p.topic, p.part)
     WHERE b.status <> 'dropped' GROUP BY 1, 2, 3 ORDER BY 2, 1
"""


@dataclass(frozen=True)
class Pace:
    """A group of readers: records behind, the age of the oldest in seconds, records a second, seconds until it has caught up."""

    group: str
    behind: int
    seconds: float
    per_s: float | None = None
    left_s: float | None = None


@dataclass(frozen=True)
class Process:
    """A running process. `waits`: the trouble that it reports."""

    role: str
    pid: int
    host: str
    up_s: int
    waits: str = ""


@dataclass(frozen=True)
class Building:
    """A build with positions of its own: `done` of `of` records, as of its last flush."""

    build: int
    model: str
    status: str
    done: int
    of: int


@dataclass(frozen=True)
class Moment:
    """Everything that is shown of one moment."""

    at: datetime
    findings: Sequence[Finding] = ()
    groups: Sequence[Pace] = ()
    processes: Sequence[Process] = ()
    builds: Sequence[Building] = ()
    detached: Mapping[str, str] = field(default_factory=dict)
    parked: Mapping[str, int] = field(default_factory=dict)
    """Streams that wait, by read model."""


class Watching:
    """Looks again and again. A server that is away is a finding of that moment, and the next look asks it anew."""

    def __init__(self, settings: Settings, domains: Domains) -> None:
        self._settings, self._domains = settings, domains
        self._lags, self._members = LagReader(settings, domains, reacted_categories(domains)), MemberReader(settings)
        self._looks: deque[Look] = deque()

    def look(self) -> Moment:
        """The moment now."""
        try:
            with closing(connect(self._settings.dsn(), application_name="watch")) as db:
                return self._look(db)
        except (psycopg.OperationalError, *ABSENT) as problem:
            away = Finding(
                "database-unavailable", f"Postgres: {first_line(problem)}", "start it; workers wait for it", "postgres"
            )
            return Moment(datetime.now(UTC), [away])

    def _look(self, db: Database) -> Moment:
        said = of_tables(db, look(db))
        if not has_table(db, "refold.builds"):
            return Moment(
                datetime.now(UTC), [*said, Finding("empty", "no worker has run on this database yet", "start one")]
            )
        health = Health(db, self._settings, self._domains, self._lags, self._members)
        now = health.look(live_processes(db))
        models, waits = model_states(db, self._settings.domains), troubles(db)
        found = health.findings(waits, models, now, self._before)
        earlier = self._before(_RATE_S) or (self._looks[0] if self._looks else None)
        self._keep(now)
        return Moment(
            datetime.now(UTC),
            [*said, *found],
            paces(now, earlier),
            processes(now.live, waits, datetime.now(UTC)),
            [Building(*row) for row in db.execute(_BUILDING).fetchall()],
            {f"{state.domain}.{state.name}": state.detached_code for state in models if state.detached_code},
            {f"{state.domain}.{state.name}": state.parked for state in models if state.parked},
        )

    def _before(self, seconds: float) -> Look | None:
        """The newest look that is at least that old."""
        limit = time.monotonic() - seconds
        return next((each for each in reversed(self._looks) if each.at <= limit), None)

    def _keep(self, now: Look) -> None:
        self._looks.append(now)
        while self._looks[0].at < now.at - _KEPT_S:
            self._looks.popleft()


def paces(now: Look, earlier: Look | None) -> list[Pace]:
    """The pace of each group between two looks; without an earlier one, only how far it is behind."""
    before = _reached(earlier.lags) if earlier is not None else {}
    found = []
    for group, reached in _reached(now.lags).items():
        lags = [lag for lag in now.lags if lag.group == group]
        behind = sum(lag.records for lag in lags)
        oldest = max((lag.seconds or 0.0 for lag in lags if lag.records), default=0.0)
        rate = None
        if earlier is not None and group in before and now.at > earlier.at:
            rate = max(0.0, (reached - before[group]) / (now.at - earlier.at))
        left = behind / rate if rate and behind else None
        found.append(Pace(group, behind, round(oldest, 1), rate, left))
    return found


def processes(live: Iterable[Live], waits: Iterable[Trouble], now: datetime) -> list[Process]:
    """The running processes, each with the trouble that it reports."""
    said = {(each.host, each.pid): each.says for each in waits}
    return [
        Process(
            each.role,
            each.pid,
            each.host,
            max(0, int((now - each.started_at).total_seconds())),
            said.get((each.host, each.pid), ""),
        )
        for each in live
    ]


def _reached(lags: Sequence[Lag]) -> dict[str, int]:
    found: dict[str, int] = {}
    for lag in lags:
        found[lag.group] = found.get(lag.group, 0) + lag.position
    return found
