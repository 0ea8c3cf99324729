"""Opens every Postgres connection of Refold's processes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, LiteralString, Protocol

import psycopg
from psycopg import pq
from psycopg.rows import TupleRow

from refold.streams import refusals, standing
from refold.streams.chunk import Place
from refold.streams.errors import DatabaseRefused, DatabaseUnavailable
from refold.streams.journal import about
from refold.streams.postgres import pooling, session, silence
from refold.streams.refusals import first_line, is_away

_CHANNEL = "refold_"
_log = logging.getLogger(__name__)

Database = psycopg.Connection[TupleRow]


class Rows(Protocol):
    """The answer to a statement."""

    def fetchall(self) -> list[Any]: ...
    def fetchone(self) -> Any: ...


class Statements(Protocol):
    """A connection that answers each statement at once (`Database`) or many together (`pipelined.Pipelined`)."""

    def execute(self, query: LiteralString | bytes, params: Sequence[Any] = ..., /) -> Rows: ...


def connect(url: str, *, application_name: str, by_key: bool = False) -> Database:
    """A connection in autocommit. Raises psycopg.OperationalError while Postgres is away, DatabaseRefused.

    `by_key`: every statement finds its rows by a table's key. Otherwise a plan prepared while a table was small and
    never analysed would go on scanning the whole table as it grows.
    """
    settings = session.WORKER | (session.BY_KEY if by_key else {})
    db = opened(url, session.parameters(application_name, settings))
    try:
        db.execute(session.settling(db.pgconn, settings))
    except BaseException:
        db.close()
        raise
    refusals.ADMISSION.granted = True
    return db


def opened(url: str, parameters: Mapping[str, Any]) -> silence.Connection:
    """A new connection with its own session, before any setting. Raises as `connect`.

    It never waits for an answer that is lost (`silence`).
    """
    try:
        db = silence.Connection.connect(url, **parameters)
    except psycopg.Error as problem:
        raise refusals.of_connecting(url, parameters, problem) from problem
    try:
        _refuse_pooled(url, parameters, db.pgconn)
        db.know_session(url, parameters)
    except BaseException:
        db.close()
        raise
    return db


async def connect_async(
    url: str, application_name: str, settings: Mapping[str, str]
) -> psycopg.AsyncConnection[TupleRow]:
    """The same in an event loop, with the settings of a session. Raises as `connect`."""
    parameters = session.parameters(application_name, settings)
    try:
        db = await psycopg.AsyncConnection.connect(url, **parameters)
    except psycopg.Error as problem:
        raise await asyncio.to_thread(refusals.of_connecting, url, parameters, problem) from problem
    try:
        await settle(db, url, application_name, settings)
    except BaseException:
        await db.close()
        raise
    return db


async def settle(
    db: psycopg.AsyncConnection[Any], url: str, application_name: str, settings: Mapping[str, str]
) -> None:
    """Begin a new connection. Raises DatabaseRefused, psycopg.Error."""
    await asyncio.to_thread(_refuse_pooled, url, session.parameters(application_name, settings), db.pgconn)
    async with answered():
        await db.execute(session.settling(db.pgconn, settings))


@asynccontextmanager
async def answered() -> AsyncIterator[None]:
    """Bounds statements that take no time in an event loop. Raises psycopg.OperationalError if no answer comes."""
    try:
        async with asyncio.timeout(silence.SILENT_S):
            yield
    except TimeoutError as problem:
        raise psycopg.OperationalError(f"no answer for {silence.SILENT_S:g} s") from problem


def _refuse_pooled(url: str, parameters: Mapping[str, Any], connection: pq.abc.PGconn) -> None:
    if pooling.pools_transactions(url, parameters, connection):
        raise refusals.of_pooler()


def connect_patiently(url: str, *, application_name: str, seconds: float = 3600.0, by_key: bool = False) -> Database:
    """Connect, waiting up to `seconds` while Postgres is away. Raises DatabaseUnavailable, DatabaseRefused."""
    until, told, waiter = time.monotonic() + seconds, False, object()
    try:
        while True:
            try:
                return connect(url, application_name=application_name, by_key=by_key)
            except psycopg.OperationalError as problem:
                if time.monotonic() > until:
                    raise DatabaseUnavailable(f"Postgres does not answer: {first_line(problem)}") from problem
                standing.waits(waiter, f"database-unavailable: Postgres does not answer: {first_line(problem)}")
                if not told:
                    _log.warning("Postgres is away, waiting for it: %s", first_line(problem), extra=about(problem))
                    told = True
                time.sleep(0.25)
    finally:
        standing.goes_on(waiter)


ABSENT = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
)
_MAKE_AGAIN = (
    "Somebody dropped or altered it, or another release made it. Start the workers: they make missing tables. To get lost rows back"
    " from the log, fill an empty database with `refold replay rebuild --all --execute`."
)


@contextmanager
def answering() -> Iterator[None]:
    """Turns psycopg's errors into ours. Raises DatabaseUnavailable, DatabaseRefused, StatementFailed."""
    try:
        yield
    except psycopg.Error as problem:
        if isinstance(problem, psycopg.errors.DiskFull):
            raise DatabaseUnavailable(f"Postgres has no room on its disk: {first_line(problem)}") from problem
        if is_away(problem):
            raise DatabaseUnavailable(f"Postgres does not answer: {first_line(problem)}") from problem
        if isinstance(problem, ABSENT):
            raise DatabaseRefused(f"a table was altered: {first_line(problem)}", _MAKE_AGAIN) from problem
        if refusals.may_pass(problem):
            raise DatabaseUnavailable(f"Postgres refuses now: {first_line(problem)}") from problem
        raise refusals.of_statement(problem) from problem


def channel(group: str) -> str:
    """The channel of a group's commits, so a listener to one group is not woken by others."""
    return _CHANNEL + group


def notify(db: Statements, group: str, moved: Mapping[Place, int]) -> None:
    """Tell listeners a group's new positions once the transaction commits."""
    payloads = [f"{group}/{topic}/{part}:{at}" for (topic, part), at in moved.items()]
    db.execute("SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) payload", (channel(group), payloads))


def has_table(db: Database, name: str) -> bool:
    """Whether the database has a table or view with this name, schema included. Raises psycopg.Error."""
    row = db.execute("SELECT to_regclass(%s) IS NOT NULL", (name,)).fetchone()
    return row is not None and bool(row[0])
