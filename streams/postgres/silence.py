"""Ends the wait for an answer that will never come, though the connection seems whole.

A proxy or pooler may take a statement, or its answer, and go silent: every packet is acknowledged, so TCP notices
nothing. Only the server knows whether the statement still runs, so we ask it over a second connection. Invariant: a
statement that runs is waited for, however long; so is a server that cannot be asked.
"""

import logging
import select
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import TupleRow

from refold.streams.journal import about
from refold.streams.refusals import first_line

_log = logging.getLogger(__name__)
SILENT_S = 15.0
"""Seconds without a byte from the server after which we ask it about the statement; and again after as many."""
_LAST_LOOK_MS = 1000
_WHO = "SELECT pid, extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_RUNS = """
    SELECT coalesce(state, '') NOT LIKE 'idle%%' AND wait_event_type IS DISTINCT FROM 'Client'
      FROM pg_stat_activity WHERE pid = %s AND extract(epoch FROM backend_start)::text = %s
"""
_END = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE pid = %s AND extract(epoch FROM backend_start)::text = %s
"""
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Session:
    """Our session at the server, and how to connect to it once more."""

    url: str
    parameters: Mapping[str, Any]
    backend: TupleRow | None


class Connection(psycopg.Connection[TupleRow]):
    """A connection that never waits for a lost answer. Until it has a session, silence alone ends it."""

    _session: _Session | None = None

    def know_session(self, url: str, parameters: Mapping[str, Any]) -> None:
        """Learn which session of the server is ours; without the right to see it, all is waited for. Raises psycopg.Error."""
        try:
            backend = self.execute(_WHO).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            backend = None
        self._session = _Session(url, parameters, backend)

    def wait(self, gen: PQGen[Answer], *limits: Any, **named: Any) -> Answer:
        """As psycopg, but raises psycopg.OperationalError for an answer that is lost."""
        return super().wait(self._listened(gen), *limits, **named)

    def _listened(self, gen: PQGen[Answer]) -> PQGen[Answer]:
        """The same steps. psycopg sends nothing into them for each tenth of a second without a byte."""
        try:
            waits = next(gen)
            while True:
                ready = yield waits
                if not ready:
                    silence = Silence(self)
                    while not (ready := (yield waits)):
                        silence.goes_on()
                waits = gen.send(ready)
        except StopIteration as done:
            answer: Answer = done.value
            return answer

    def is_answer_lost(self) -> bool:
        """Whether the server says that it does not work for us. Waits some seconds."""
        session = self._session
        if session is None:
            return True
        try:
            with closing(Connection.connect(session.url, **session.parameters)) as db:
                if self._is_heard_of(db, session):
                    return False
                with suppress(psycopg.Error):
                    db.execute(_END, session.backend)  # its locks would hold up our next transaction
        except psycopg.Error as problem:  # the server is away, and may still answer on the old line once it is back
            _log.debug(
                "cannot ask about a silent statement: %s", first_line(problem), extra=about(problem, repeats=True)
            )
            return False
        return True

    def _is_heard_of(self, db: "Connection", session: _Session) -> bool:
        """Whether the statement runs, or its answer has come meanwhile."""
        if session.backend is None:
            return True
        found = db.execute(_RUNS, session.backend).fetchone()
        if found is not None and found[0]:
            return True
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        return bool(poll.poll(_LAST_LOOK_MS))


class Silence:
    """Time without a byte on a connection that waits for an answer."""

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        self._db, self._since = db, time.monotonic()

    def goes_on(self) -> None:
        """Called while nothing comes. Raises psycopg.OperationalError, and closes the connection, if the answer is lost."""
        if time.monotonic() - self._since < SILENT_S or not isinstance(self._db, Connection):
            return
        if self._db.is_answer_lost():
            self._db.close()
            raise psycopg.OperationalError(f"no answer for {SILENT_S:g} s, and the server does not work on one")
        self._since = time.monotonic()
