"""A connection that queues its statements until an answer is needed, then sends them together, prepared.

A small transaction is a dozen short statements. psycopg's own pipeline sends them one by one, at some 100 us of Python
each. Here libpq's buffer holds them all, and one write and one read carry them. psycopg's adapters read the results.
"""

import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
from psycopg import abc, pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

from refold.streams.postgres.arrays import literal
from refold.streams.postgres.connection import Database
from refold.streams.postgres.silence import Silence

Row = tuple[Any, ...]
BINARY = int(pq.Format.BINARY)
GOOD = frozenset({pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK})
_LISTEN_MS = 250
_OPEN = frozenset({pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR})


class PendingRows:
    """The rows of a statement. Asking for them sends the queued statements."""

    def __init__(self, asked: "Pipelined") -> None:
        self._asked = asked
        self.rows: list[Row] | None = None

    def fetchall(self) -> list[Row]:
        """All rows. Raises psycopg.Error, of this statement or of one sent with it."""
        if self.rows is None:
            self._asked.flush()
        assert self.rows is not None, "its transaction failed"
        return self.rows

    def fetchone(self) -> Row | None:
        """The first row. Raises as `fetchall`."""
        return next(iter(self.fetchall()), None)


class Pipelined:
    """Statements on a connection. Used by one thread, and never while psycopg itself is in a pipeline on it.

    Invariant: statements reach Postgres in the order of `execute`. If one fails, none after it in its transaction takes
    effect.
    """

    def __init__(self, db: Database) -> None:
        self.db = db
        self._pg, self._reader = db.pgconn, Transformer(db)
        self._poll = select.poll()
        self._poll.register(self._pg.socket, select.POLLIN)
        self._names: dict[bytes, bytes] = {}
        self._numbers, self._unprepared = count(), set[bytes]()
        self._waiting: list[tuple[bytes, list[bytes | None], PendingRows]] = []

    def execute(self, query: str | bytes, params: Sequence[object] = ()) -> PendingRows:
        """Queue a statement, with `%s` for each parameter. Raises KeyError for a parameter of an unsupported type."""
        answer = PendingRows(self)
        self._waiting.append((numbered(query), [as_text(value) for value in params], answer))
        return answer

    @contextmanager
    def transaction(self, begin: bytes = b"BEGIN") -> Iterator[None]:
        """Run the block as one transaction, from the first answer to the sending of what is queued. No nesting."""
        self.execute(begin)
        try:
            yield
            self.execute(b"COMMIT")
            self.flush()
        except BaseException:
            self._roll_back()
            raise

    def flush(self) -> None:
        """Send the queued statements and read the answers. Raises psycopg.Error of the first that failed.

        An answer that is lost ends the connection (`silence`).
        """
        sent, self._waiting = self._waiting, []
        if not sent:
            return
        self._pg.enter_pipeline_mode()
        for query, params, _ in sent:
            self._send(query, params)
        self._pg.pipeline_sync()
        failed: psycopg.Error | None = None
        for query, _, answer in sent:
            failed = failed or self._read(query, answer)
        while self._next().status != pq.ExecStatus.PIPELINE_SYNC:
            pass  # results of the statements after the failed one
        self._pg.exit_pipeline_mode()
        for query in self._unprepared:
            del self._names[query]
        self._unprepared.clear()
        if failed is not None:
            raise failed

    def _send(self, query: bytes, params: list[bytes | None]) -> None:
        name = self._names.get(query)
        if name is None:
            self._names[query] = name = b"refold_%d" % next(self._numbers)
            self._unprepared.add(query)
            self._pg.send_prepare(name, query)
        self._pg.send_query_prepared(name, params, result_format=BINARY)

    def _read(self, query: bytes, answer: PendingRows) -> psycopg.Error | None:
        if query in self._unprepared:
            self._unprepared.discard(query)
            result = self._next()
            if result.status != pq.ExecStatus.COMMAND_OK:
                self._unprepared.add(query)
                return self._problem(result)
        result = self._next()
        if result.status not in GOOD:
            return self._problem(result)
        answer.rows = rows_of(self._reader, result)
        return None

    def _next(self) -> pq.abc.PGresult:
        """The next result, skipping libpq's None between statements. Raises psycopg.OperationalError."""
        while True:
            self._await()
            result = self._pg.get_result()
            if result is not None:
                return result
            if self._pg.status == pq.ConnStatus.BAD:
                raise psycopg.OperationalError(self._pg.get_error_message())

    def _await(self) -> None:
        """Wait for a result: send and receive in turns, so that neither side waits for the other to read."""
        while (unsent := self._pg.flush()) or self._pg.is_busy():
            self._poll.modify(self._pg.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
            if not self._poll.poll(_LISTEN_MS):
                self._await_patiently()
            self._pg.consume_input()

    def _await_patiently(self) -> None:
        silence = Silence(self.db)
        while not self._poll.poll(_LISTEN_MS):
            silence.goes_on()

    def _problem(self, result: pq.abc.PGresult) -> psycopg.Error:
        if self._pg.status == pq.ConnStatus.BAD:
            return psycopg.OperationalError(self._pg.get_error_message())
        return error_from_result(result, self._reader.encoding)

    def _roll_back(self) -> None:
        """Roll back. Nothing was begun if nothing was sent; a lost connection rolls back by itself."""
        self._waiting.clear()
        if self._pg.transaction_status in _OPEN:
            self.execute(b"ROLLBACK")
            with suppress(psycopg.OperationalError):
                self.flush()


def rows_of(reader: abc.Transformer, result: pq.abc.PGresult) -> list[Row]:
    """The rows of a result, by psycopg's adapters."""
    reader.set_pgresult(result)
    return reader.load_rows(0, result.ntuples, tuple)


@cache
def numbered(query: str | bytes) -> bytes:
    """The query with `$1`, `$2` … for each `%s`."""
    first, *rest = (query.encode() if isinstance(query, str) else query).split(b"%s")
    return first + b"".join(b"$%d%s" % (number, part) for number, part in enumerate(rest, 1))


def as_text(value: object) -> bytes | None:
    """A parameter as Postgres reads it; the statement gives its type. Raises KeyError for an unsupported type."""
    return _WRITERS[type(value)](value)


_WRITERS: dict[type, Callable[[Any], bytes | None]] = {
    type(None): lambda _: None,
    str: str.encode,
    int: lambda value: b"%d" % value,
    bytes: lambda value: b"\\x" + value.hex().encode(),
    bool: lambda value: b"true" if value else b"false",
    datetime: lambda value: value.isoformat().encode(),
    UUID: lambda value: str(value).encode(),
    list: lambda value: literal(value).encode(),
}
