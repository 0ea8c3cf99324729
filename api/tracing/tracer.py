"""Traces an id: finds the commands that it names, and follows each."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from refold.api.tracing.finding import FoundCommand, LogSearch, outcomes_by_key, outcomes_of
from refold.api.tracing.following import MOST_COMMANDS, Following, Reading
from refold.api.tracing.steps import Trace
from refold.projections.tables.declared import Declared
from refold.schemas.identity import command_uuid, outcome_key
from refold.streams.chunk import Place
from refold.streams.domain import Domains
from refold.streams.postgres import session
from refold.streams.postgres.connection import Database, opened
from refold.streams.reactors.reactor import Reactor
from refold.streams.settings import Settings

COMMAND, CORRELATION = "command", "correlation"


@dataclass(frozen=True)
class AskedTrace:
    """An id: a command's, the Idempotency-Key it was sent with, or a correlation's.

    `ends`: where an earlier search of the log has begun, to go on further back. `seconds`: how long to search; None: to the log's beginning.
    """

    id: str
    most: int = MOST_COMMANDS
    ends: Mapping[Place, int] | None = None
    seconds: float | None = None


class Tracer:
    """Answers traces. One thread uses it."""

    def __init__(self, settings: Settings, domains: Domains, declared: Declared, reactors: Sequence[Reactor]) -> None:
        self._url = settings.dsn()
        self._log = LogSearch(settings.kafka_servers(), settings.topic_prefix, domains)
        self._reading = Reading(settings, domains, declared, reactors)

    def close(self) -> None:
        """Give the connections back."""
        self._reading.close()

    def trace(self, asked: AskedTrace) -> Trace:
        """What came of the id; no roots if nothing has it. Raises KafkaUnavailable, LogRefused, psycopg.Error."""
        until = None if asked.seconds is None else time.monotonic() + asked.seconds
        with closing(opened(self._url, session.parameters("trace", session.READER))) as db:
            db.execute(session.said_again(session.READER))
            trace = Trace(asked.id, COMMAND)
            following = Following(self._reading, db, trace, asked.most, until)
            command_id = command_uuid(asked.id)
            outcomes = [] if asked.ends is not None else outcomes_of(db, command_id)
            trace.roots = [following.command(row, 0) for row in outcomes]
            if not outcomes:
                self._search(db, asked, trace, following, until)
        return trace

    def _search(self, db: Database, asked: AskedTrace, trace: Trace, following: Following, until: float | None) -> None:
        """Commands that are not decided, and the commands of a correlation."""
        command_id = command_uuid(asked.id)
        pending = [] if asked.ends is not None else self._log.pending(db, asked.id, command_id)
        if not any(one.meta.command_id == command_id for one in pending):
            found, trace.left = self._log.named(db, asked.id, asked.ends, until)
            trace.read_as = COMMAND if any(one.is_asked for one in found) else CORRELATION
            self._named(db, found, trace, following)
        is_pending = trace.read_as == COMMAND and not trace.roots
        now = outcomes_of(db, command_id) if is_pending else []  # decided while it was searched for
        trace.roots += [following.command(row, 0) for row in now]
        trace.roots += [] if now else [following.pending(one) for one in pending if one.name not in following.seen]

    def _named(self, db: Database, found: Sequence[FoundCommand], trace: Trace, following: Following) -> None:
        """First a tree for each command that no reactor sent, then one for each command that is in none of these trees."""
        keys = {outcome_key(one.category, one.stream, one.command_id.bytes): one for one in found}
        rows = outcomes_by_key(db, list(keys))
        answers = {(one.category, one.stream, one.command_id): one.is_answer and not one.is_asked for one in found}
        rows.sort(key=lambda row: (row.category, row.part, row.first_offset))
        for is_answer in (False, True):
            for row in rows:
                named = (row.category, row.stream, row.command_id)
                if answers[named] is is_answer and named not in following.seen:
                    trace.roots.append(following.command(row, 0))
