"""A handler's reads of Postgres: all rows for one batch of decisions come from ONE snapshot."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import psycopg

from refold.schemas.errors import NewerSchema, Undecodable
from refold.streams.chunk import Place
from refold.streams.core import tables
from refold.streams.domain import Domains
from refold.streams.errors import LogRefused, Refused, Unreachable
from refold.streams.handler.ports import Away, Snapshot, Wanted
from refold.streams.log.history import History
from refold.streams.postgres.connection import connect
from refold.streams.postgres.control_tables import keep_up
from refold.streams.postgres.pipelined import Pipelined
from refold.streams.refusals import first_line, may_pass, refusal_of
from refold.streams.rules.judge import ClaimState

Result = TypeVar("Result")
_LOOK_S = 1.0


class PostgresTables:
    """`HandlerTables` on Postgres; states that have to be folded again come from the log."""

    def __init__(self, url: str, domains: Domains, history: History) -> None:
        self._url, self._domains, self._history = url, domains, history
        self._connected: Pipelined | None = None
        self._looked = 0.0

    def claims(self, places: Iterable[Place]) -> Mapping[Place, ClaimState]:
        """One row for each partition; a partition has none before its first claim is folded."""
        self._keep_up()
        return self._asked(lambda db: {place: claim.state for place, claim in tables.read_claims(db, places).items()})

    def snapshots(self, wanted: Sequence[Wanted]) -> Sequence[Snapshot]:
        """One REPEATABLE READ transaction: guard and data of two moments would show a state that never was."""
        return self._asked(lambda db: _snapshots(db, wanted))

    def refold(self, category: str, stream: str, version: int) -> Any:
        """Fold a stream's state from Kafka. A failure of Postgres is not the stream's fault, and ends the process."""
        decider = self._domains.deciders[category]
        try:
            return self._asked(lambda db: self._history.state(db.db, decider, stream, version))
        except (Away, Unreachable) as problem:
            raise Away(str(problem)) from problem
        except (psycopg.Error, Refused, LogRefused, NewerSchema):
            raise
        except Exception as problem:
            raise Undecodable(f"its events cannot be folded: {problem}", "evolve") from problem

    def close(self) -> None:
        """Give the connections back."""
        self._history.close()
        self._disconnect()

    def _keep_up(self) -> None:
        """Check once a second that this code knows the tables' release: else nothing may be decided on them."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_S:
            try:
                self._asked(lambda db: keep_up(db.db))
            except Unreachable as problem:
                raise Away(problem.message) from problem
            self._looked = now

    def _disconnect(self) -> None:
        if self._connected is not None:
            self._connected.db.close()

    def _asked(self, question: Callable[[Pipelined], Result]) -> Result:
        try:
            if self._connected is None or self._connected.db.closed:
                self._connected = Pipelined(connect(self._url, application_name="handler", by_key=True))
            return question(self._connected)
        except psycopg.Error as problem:
            self._disconnect()
            if not may_pass(problem):
                raise refusal_of(problem) or problem from problem
            raise Away(f"Postgres: {first_line(problem)}") from problem


def _snapshots(db: Pipelined, wanted: Sequence[Wanted]) -> list[Snapshot]:
    """Send BEGIN, one query for each kind of rows, and COMMIT together: a query costs the same for four partitions as for one."""
    streams: dict[str, set[str]] = {}
    for each in wanted:
        streams.setdefault(each.category, set()).update(each.streams)
    with db.transaction(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"):
        claims = tables.ask_claims(db, [(each.category, each.part) for each in wanted], whole=True)
        asked = {category: tables.ask_streams(db, category, sorted(names)) for category, names in streams.items()}
        known = tables.ask_keys(db, [key for each in wanted for key in each.keys])
    rows, outcomes = tables.claims_of(claims), frozenset(row[0] for row in known.fetchall())
    found = {category: tables.streams_of(answer) for category, answer in asked.items()}
    return [
        Snapshot(
            rows[place].state if (place := (each.category, each.part)) in rows else None, outcomes, found[each.category]
        )
        for each in wanted
    ]
