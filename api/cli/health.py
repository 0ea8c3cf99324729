"""What `refold status` asks to say whether the whole goes on: each source by itself, so that one that is away hides no other."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

import psycopg

from refold.projections.serving import ModelState
from refold.streams.continuity import check_ends
from refold.streams.domain import Domains
from refold.streams.errors import LogRefused, Refused, Unreachable
from refold.streams.lag import Lag, LagReader
from refold.streams.members import Member, members
from refold.streams.postgres import Database, has_table
from refold.streams.presence import Live, Trouble
from refold.streams.reactors.declared import declared_reactors, reacted_categories
from refold.streams.refusals import first_line, is_away
from refold.streams.settings import Settings
from refold.streams.standing import STILL_S
from refold.streams.topics import check_seen_topics
from refold.streams.verdict import Facts, Finding, findings, owners, suspects, unmoved

Answer = TypeVar("Answer")
_LOOK_S = 3.0
"""So long one looks at what seems to stand: a fold moves twenty times in it."""
_WRITES = "INSERT INTO refold.processes (process, role, host, pid, started_at, seen_at, version, code, writes, standing) VALUES (%s, 'probe', '', 0, now(), now(), '', '[]', '[]', '[]')"


class Health:
    """The facts of one look. Sources that do not answer become findings."""

    def __init__(self, db: Database, settings: Settings, domains: Domains) -> None:
        self._db = db
        self._reader = LagReader(settings, domains, reacted_categories(domains))
        self._unasked: list[Finding] = []
        self._asked(lambda: self._topics_are_right(settings, domains))
        self._is_refused = bool(self._unasked)
        self.roles = ["handler", "core", "models", *(["reactors"] if declared_reactors(domains) else [])]
        has_folded = has_table(self._db, "refold.claims")
        self.lags = self._lags() if has_folded and not self._is_refused else []
        self.members = (self._asked(lambda: members(settings, self.roles)) or []) if self.lags else []

    def findings(
        self, live: Sequence[Live], troubles: Sequence[Trouble], models: Sequence[ModelState]
    ) -> list[Finding]:
        """All that stands still."""
        settled = _settled(live)
        suspected, still = {key for key in suspects(self.lags) if key[0] in settled}, frozenset[Any]()
        if suspected:
            time.sleep(_LOOK_S)
            still = unmoved(suspected, self.lags, self._lags())
        if self.lags:
            self._asked(partial(check_ends, self._reader.ends, self._db))
        self._try_to_write()
        return findings(
            Facts(
                self.roles,
                Counter(each.role for each in live),
                self.lags,
                still,
                self.members,
                troubles,
                {f"{state.domain}.{state.name}": state.detached_code for state in models if state.detached_code},
                self._parked(),
                self._unasked,
            )
        )

    def partitions(self, live: Sequence[Live]) -> list[dict[str, Any]]:
        """Who has each partition of each group, since when that process runs, and how far it is."""
        by_owner, started = owners(self.members), {each.pid: each for each in live}
        return [_partition(lag, by_owner.get((lag.group, (lag.topic, lag.part))), started) for lag in self.lags]

    def _topics_are_right(self, settings: Settings, domains: Domains) -> None:
        """Raises LogRefused for what an operator has changed; then the log is asked nothing more: its answers would only follow from it."""
        if has_table(self._db, "refold.topics"):
            check_seen_topics(settings, domains, self._db)

    def looked_again(self) -> list[Lag]:
        """The lag of now."""
        return self._lags()

    def _lags(self) -> list[Lag]:
        return self._asked(lambda: self._reader.read(self._db)) or []

    def _asked(self, ask: Callable[[], Answer]) -> Answer | None:
        """The answer; what stands in its way is a finding."""
        try:
            return ask()
        except (LogRefused, Unreachable, Refused) as problem:
            self._unasked.append(Finding(problem.code, problem.message, problem.remedy))
            return None

    def _try_to_write(self) -> None:
        """A full disk lets one read. What is written is rolled back; a role that may not write is not told anything by it."""
        try:
            with self._db.transaction(force_rollback=True):
                self._db.execute(_WRITES, (uuid4(),))
        except psycopg.Error as problem:
            if is_away(problem):
                self._unasked.append(
                    Finding(
                        "postgres-does-not-write",
                        f"Postgres does not write: {first_line(problem)}",
                        "give its disk room; workers go on by themselves",
                    )
                )

    def _parked(self) -> int:
        if not has_table(self._db, "refold.parked"):
            return 0
        found = self._db.execute("SELECT count(DISTINCT (category, stream)) FROM refold.parked").fetchone()
        return int(found[0]) if found else 0


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
