"""Standstills and positions as they were a moment ago: a thread looks in the background, so that no request waits.

/readyz and /metrics report the findings of `refold status` (`health`). A silent server holds up the looks. Then the answers name that
server, and do not show older findings as if they were current.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import psycopg
from prometheus_client.core import Metric

from refold.api.health import Health, Look, of_tables
from refold.api.http.describe import metrics
from refold.api.http.describe.services import Check
from refold.projections.tables.serving import model_states
from refold.schemas.errors import RefoldError
from refold.streams.domain import Domains
from refold.streams.errors import DatabaseNewer
from refold.streams.operation.lag import Lag, LagReader
from refold.streams.operation.members import MemberReader
from refold.streams.operation.presence import MISSING_NOW, Live, live_processes, troubles
from refold.streams.operation.verdict import Finding
from refold.streams.postgres.connection import ABSENT, Database, connect, has_table
from refold.streams.postgres.control_tables import look
from refold.streams.refusals import first_line
from refold.streams.settings import Settings

LOOK_S, SOON_S = 5.0, 2.0
"""Seconds between two looks, normally and while something stands still."""
STALE_S = 15.0
"""Seconds after which a look without a result shows that a server is silent."""
ANSWER_S = 0.2
"""Seconds that a scrape waits for a new look."""
_KEPT_S = 30.0
_ELSEWHERE = ("kafka-", "database-")
"""Codes for which /readyz has separate checks."""
_PARTS = frozenset({"detached", "parked"})
"""Codes that concern one model or stream: all others go on, and so does this process."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """One look. `gone`: roles that ended without leaving, and of which no process runs any more. `live`: the processes."""

    findings: Sequence[Finding]
    gone: frozenset[str] = frozenset()
    metrics: Sequence[Metric] = ()
    at: float = field(default_factory=time.monotonic)
    lags: Sequence[Lag] = ()
    live: Sequence[Live] = ()

    def check(self) -> Check:
        """A check that fails if a standstill affects this process's answers; it names every standstill."""
        found = [finding for finding in self.findings if not finding.code.startswith(_ELSEWHERE)]
        told = "; ".join(f"{finding.code}: {finding.says}" for finding in found)
        return Check("workers", not any(self._is_grave(finding) for finding in found), told)

    def _is_grave(self, finding: Finding) -> bool:
        """Whether a finding makes the API unready. A role that never ran here, or was stopped on purpose, does not."""
        if finding.code.startswith("no-"):
            return finding.role in self.gone
        return finding.code not in _PARTS


class Watch:
    """Looks in a thread of its own, with a connection of its own."""

    def __init__(self, settings: Settings, domains: Domains, lag: LagReader) -> None:
        self._settings, self._domains, self._lag = settings, domains, lag
        self._members = MemberReader(settings)
        self._db: Database | None = None
        self._looks: deque[Look] = deque()
        self._seen: Seen | None = None
        self._asking, self._began = "postgres", time.monotonic()
        self._closing, self._wanted, self._told = threading.Event(), threading.Event(), threading.Condition()
        self._thread = threading.Thread(target=self._look_on, name="seen", daemon=True)

    async def open(self) -> None:
        """Begin to look."""
        self._thread.start()

    async def close(self) -> None:
        """Stop looking; a look that waits for a server ends with the process."""
        self._closing.set()
        self._wanted.set()
        await asyncio.to_thread(self._thread.join, ANSWER_S)

    def seen(self) -> Seen:
        """The last look, or the server that gives no answer. Never waits."""
        seen = self._seen
        if seen is not None and time.monotonic() - seen.at <= STALE_S:
            return seen
        code = "database-unavailable" if self._asking == "postgres" else "kafka-unavailable"
        silent = f"{self._asking} gives no answer for {time.monotonic() - self._began:.0f} s"
        finding = Finding(code, silent, "read its log; workers go on by themselves", self._asking)
        return Seen([finding], metrics=[metrics.up({self._asking: 0})])

    def metrics(self) -> list[Metric]:
        """The gauges of a look that ends within ANSWER_S, or else of the last one."""
        before = self._seen
        if before is None or time.monotonic() - before.at > SOON_S:
            self._wanted.set()
            with self._told:
                self._told.wait_for(lambda: self._seen is not before, ANSWER_S)
        seen = self.seen()
        return [*seen.metrics, *metrics.standing_still(seen.findings, time.monotonic() - seen.at)]

    def _look_on(self) -> None:
        while not self._closing.is_set():
            self._wanted.clear()
            self._asking, self._began = "postgres", time.monotonic()
            try:
                found = self._look()
            except (psycopg.Error, RefoldError) as problem:
                found = self._failed(getattr(problem, "code", "database-unavailable"), first_line(problem))
            except Exception as problem:
                _log.exception("what stands still cannot be looked at")
                found = self._failed("database-unavailable", f"{type(problem).__name__}: {problem}")
            with self._told:
                self._seen = found
                self._told.notify_all()
            self._wanted.wait(SOON_S if found.findings else LOOK_S)
        self._hang_up()

    def _failed(self, code: str, why: str) -> Seen:
        self._hang_up()
        return Seen([Finding(code, why, "", "postgres")], metrics=[metrics.up({"postgres": 0})])

    def _look(self) -> Seen:
        """A full look, or the finding that the tables are not those of this code or not whole. Raises psycopg.Error, RefoldError."""
        db = self._connected()
        tables = look(db)
        said = of_tables(db, tables)
        try:
            seen = None if isinstance(tables.problem(), DatabaseNewer) else self._whole(db)
        except ABSENT:
            if not said:
                raise
            seen = None
        if seen is None:
            return Seen(said, metrics=[metrics.up({"postgres": 1})])
        return replace(seen, findings=[*said, *seen.findings])

    def _whole(self, db: Database) -> Seen:
        """Look at Postgres first, so that positions are known even while Kafka is away."""
        live, waits = live_processes(db), troubles(db)
        gauges = [*metrics.from_tables(db), metrics.codes(live), metrics.of_troubles(waits)]
        models = model_states(db, self._settings.domains) if has_table(db, "refold.builds") else []
        gone = db.execute(MISSING_NOW.encode()).fetchall() if has_table(db, "refold.processes") else []
        self._asking = "kafka"
        health = Health(db, self._settings, self._domains, self._lag, self._members)
        now = health.look(live)
        found = health.findings(waits, models, now, self._before(now))
        up = metrics.up({"postgres": 1, "kafka": 0 if any(each.role == "kafka" for each in found) else 1})
        return Seen(
            found,
            frozenset(role for role, _ in gone),
            [up, *gauges, *metrics.from_lags(now.lags)],
            lags=now.lags,
            live=live,
        )

    def _before(self, now: Look) -> "Before":
        while self._looks and now.at - self._looks[0].at > _KEPT_S:
            self._looks.popleft()
        earlier = list(self._looks)
        self._looks.append(now)
        return Before(now, earlier)

    def _connected(self) -> Database:
        if self._db is None or self._db.closed:
            self._db = connect(self._settings.dsn(), application_name="seen")
        return self._db

    def _hang_up(self) -> None:
        if self._db is not None:
            with contextlib.suppress(psycopg.Error):
                self._db.close()
        self._db = None


@dataclass(frozen=True)
class Before:
    """This look and earlier ones."""

    now: Look
    earlier: Sequence[Look]

    def __call__(self, seconds: float) -> Look | None:
        """The newest look that is at least `seconds` older."""
        return next((look for look in reversed(self.earlier) if self.now.at - look.at >= seconds), None)
