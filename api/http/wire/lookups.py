"""Rows found by their key, on one connection: each statement is sent at once, without waiting for the answers to earlier ones.

psycopg's pool and cursors take 300 us of Python for a statement, and an API that needs three for each command spends most of its time there;
libpq's pipeline takes 30 us. Use it only for quick statements: each waits for those before it.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

from refold.api.errors import TooManyWaiting
from refold.api.http.wire.database import Row, api_errors
from refold.streams.postgres.connection import connect_async
from refold.streams.postgres.pipelined import BINARY, GOOD, as_text, numbered, rows_of
from refold.streams.postgres.session import LIFETIME_S, READER, STATEMENT_TIMEOUT_MS
from refold.streams.refusals import is_away

MOST_ASKED = 4000
_ANSWER_S = STATEMENT_TIMEOUT_MS / 1000 + 1
# One plan for all executions: planning each time takes Postgres longer than finding the row.
_SESSION = READER | {"plan_cache_mode": "force_generic_plan"}


class Lookups:
    """Statements of one event loop. Connects at the first one, and once more after a connection is lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._wire: _Wire | None = None
        self._connecting = asyncio.Lock()

    async def open(self) -> None:
        """Nothing to begin: the first statement connects."""

    async def close(self) -> None:
        """Give the connection back."""
        if self._wire is not None:
            await self._wire.close()

    async def fetch(self, statement: str | bytes, parameters: Sequence[object] = ()) -> list[Row]:
        """The rows of one statement, `%s` for each parameter. Raises DatabaseUnavailable, NotPrepared, QueryTimeout, TooManyWaiting."""
        with api_errors():
            try:
                return await self._asked(statement, parameters)
            except psycopg.errors.QueryCanceled:
                raise
            except psycopg.Error as problem:  # statements only read: one that met a lost connection is sent again
                if not is_away(problem):
                    raise
                return await self._asked(statement, parameters)

    async def _asked(self, statement: str | bytes, parameters: Sequence[object]) -> list[Row]:
        wire = self._wire
        if wire is None or not wire.is_good():
            wire = await self._connected()
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await wire.ask(numbered(statement), [as_text(value) for value in parameters])
        except TimeoutError:
            wire.fail(psycopg.OperationalError("no answer"))
            raise

    async def _connected(self) -> "_Wire":
        async with self._connecting:
            old = self._wire
            if old is not None and old.is_good():
                return old
            self._wire = wire = _Wire(await connect_async(self._url, "api", _SESSION))
            if old is not None:
                await old.close()  # statements that it did not answer are sent again
            return wire


@dataclass(frozen=True, slots=True)
class _Asked:
    query: bytes
    answer: "asyncio.Future[list[Row]]"


class _Wire:
    """A connection in libpq's pipeline mode. Invariant: answers come in the order of `_asked`, each followed by its own sync."""

    def __init__(self, db: psycopg.AsyncConnection[Any]) -> None:
        self._db, self._pg, self._reader = db, db.pgconn, Transformer(db)
        self._names: dict[bytes, bytes] = {}
        self._asked: deque[_Asked] = deque()
        self._results: list[pq.abc.PGresult] = []
        self._loop, self._socket = asyncio.get_running_loop(), self._pg.socket
        self.lost, self._old_at = False, self._loop.time() + LIFETIME_S
        self._pg.enter_pipeline_mode()
        self._loop.add_reader(self._socket, self._receive)

    def is_good(self) -> bool:
        """Whether it takes more statements: an old one is replaced by a new one, if possible between two statements."""
        return not self.lost and self._loop.time() < self._old_at + (_ANSWER_S if self._asked else 0.0)

    def ask(self, query: bytes, parameters: Sequence[bytes | None]) -> "asyncio.Future[list[Row]]":
        """Send a statement. Raises TooManyWaiting, psycopg.OperationalError."""
        if len(self._asked) >= MOST_ASKED:
            raise TooManyWaiting(f"{MOST_ASKED} look-ups wait for Postgres already")
        answer: asyncio.Future[list[Row]] = self._loop.create_future()
        if query in self._names:
            self._pg.send_query_prepared(self._names[query], parameters, result_format=BINARY)
        else:
            self._pg.send_query_params(query, parameters, result_format=BINARY)
        self._asked.append(_Asked(query, answer))
        self._pg.pipeline_sync()
        self._send()
        return answer

    def _prepare(self, query: bytes) -> None:
        """Remember a prepared statement once it has succeeded: with a missing table nothing was prepared."""
        self._names[query] = name = b"lookup_%d" % len(self._names)
        self._pg.send_prepare(name, query)
        self._asked.append(_Asked(query, self._loop.create_future()))
        self._pg.pipeline_sync()

    async def close(self) -> None:
        """Give the error to everyone who waits."""
        self.fail(psycopg.OperationalError("the connection is closed"))
        await self._db.close()

    def fail(self, problem: psycopg.Error) -> None:
        """Close the connection for good."""
        if not self.lost:
            self.lost = True
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
        while self._asked:
            _tell(self._asked.popleft().answer, problem)

    def _send(self) -> None:
        try:
            unsent = self._pg.flush()
        except psycopg.OperationalError as problem:
            self.fail(problem)
            return
        if unsent:
            self._loop.add_writer(self._socket, self._send)
        else:
            self._loop.remove_writer(self._socket)

    def _receive(self) -> None:
        try:
            self._pg.consume_input()
            while self._asked and not self._pg.is_busy():
                self._take(self._pg.get_result())
        except psycopg.OperationalError as problem:
            self.fail(problem)

    def _take(self, result: pq.abc.PGresult | None) -> None:
        """The next result. libpq gives None between the results of two statements."""
        if result is None:
            if self._pg.status == pq.ConnStatus.BAD:
                raise psycopg.OperationalError(self._pg.get_error_message())
        elif result.status == pq.ExecStatus.PIPELINE_SYNC:
            self._answer(self._asked.popleft())
            self._results.clear()
        else:
            self._results.append(result)

    def _answer(self, asked: _Asked) -> None:
        bad = next((result for result in self._results if result.status not in GOOD), None)
        if bad is not None:
            _tell(asked.answer, error_from_result(bad, self._reader.encoding))
        elif not asked.answer.done():
            asked.answer.set_result(rows_of(self._reader, self._results[-1]))
            if asked.query not in self._names:
                self._prepare(asked.query)
                self._send()


def _tell(answer: "asyncio.Future[list[Row]]", problem: psycopg.Error) -> None:
    if not answer.done():
        answer.set_exception(problem)
