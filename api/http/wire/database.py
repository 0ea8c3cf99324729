"""Postgres as the API sees it: a pool of read-only connections, each statement a transaction of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from refold.api.errors import TooManyWaiting
from refold.api.unavailable import NotPrepared, QueryTimeout
from refold.streams.errors import DatabaseUnavailable
from refold.streams.postgres import session
from refold.streams.postgres.connection import settle
from refold.streams.postgres.session import LIFETIME_S, STATEMENT_TIMEOUT_MS
from refold.streams.refusals import first_line, is_away, refusal_of

_ACQUIRE_S = 2.0
ANSWER_S = STATEMENT_TIMEOUT_MS / 1000 + 3
"""Seconds after which we give up a statement that the server's own limit did not end: server or network is silent, and nobody else would notice."""
_MISSING = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
)

_OF_THE_STATEMENT = (psycopg.errors.StatementTooComplex, psycopg.errors.ProgramLimitExceeded)
"""Errors that psycopg classes as operational, but that come from a value nested too deep or too long, never from a server that is away."""

Statement = sql.Composed | sql.SQL | str | bytes
Parameters = Sequence[Any] | Mapping[str, Any]
Row = tuple[Any, ...]


@contextmanager
def api_errors() -> Iterator[None]:
    """Turns errors of Postgres and of the connection into the API's errors."""
    try:
        yield
    except psycopg.errors.QueryCanceled:
        raise QueryTimeout(f"the query took longer than {STATEMENT_TIMEOUT_MS / 1000:g} s") from None
    except _MISSING as problem:
        raise NotPrepared(f"Postgres does not have it yet: {first_line(problem)}") from None
    except _OF_THE_STATEMENT:
        raise
    except TooManyRequests:
        raise TooManyWaiting("too many queries wait for a connection to Postgres") from None
    except (psycopg.InterfaceError, PoolTimeout, TimeoutError) as problem:
        raise DatabaseUnavailable(f"Postgres does not answer: {first_line(problem)}") from problem
    except psycopg.Error as problem:
        if is_away(problem):
            raise DatabaseUnavailable(f"Postgres does not answer: {first_line(problem)}") from problem
        raise refusal_of(problem) or problem from problem


class Database:
    """A bounded number of connections. Starts without a server and finds it later."""

    def __init__(self, url: str, connections: int = 8) -> None:
        """`connections`: most statements that one API process runs at once."""

        async def settled(db: psycopg.AsyncConnection[TupleRow]) -> None:
            await settle(db, url, "api", session.READER)

        self._pool = AsyncConnectionPool(
            url,
            kwargs=session.parameters("api", session.READER),
            configure=settled,
            min_size=2,
            max_size=connections,
            max_waiting=200,
            timeout=_ACQUIRE_S,
            reconnect_timeout=10.0,
            max_lifetime=LIFETIME_S,
            open=False,
        )

    async def open(self) -> None:
        """Begin to connect; does not wait for it."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Give the connections back."""
        await self._pool.close()

    async def fetch(self, statement: Statement, parameters: Parameters = ()) -> list[Row]:
        """The rows of one statement. Raises DatabaseUnavailable, NotPrepared, QueryTimeout or TooManyWaiting."""
        with api_errors():
            return await self._asked_again(statement, parameters)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Callable[[Statement, Parameters], Awaitable[list[Row]]]]:
        """One moment of the database for several statements; the block gets `fetch`. Raises as the method `fetch`.

        The moment is that of the first statement that reads.
        """
        with api_errors():
            async with self._pool.connection() as connection:

                async def fetch(statement: Statement, parameters: Parameters = ()) -> list[Row]:
                    async with asyncio.timeout(ANSWER_S):
                        cursor = await connection.execute(statement, parameters)
                        return await cursor.fetchall() if cursor.description else []

                await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                try:
                    yield fetch
                except BaseException:
                    await connection.close()  # a lost server would not answer ROLLBACK; the pool replaces it
                    raise
                await connection.execute("ROLLBACK")

    async def fetch_in_zone(self, statement: Statement, parameters: Parameters, zone: str) -> list[Row]:
        """As `fetch`, in a transaction whose time zone is `zone`. Raises psycopg's error for a zone that Postgres does not know."""
        with api_errors():
            return await self._asked_again(statement, parameters, zone)

    async def _asked_again(self, statement: Statement, parameters: Parameters, zone: str | None = None) -> list[Row]:
        """Run a statement, and once more on a sound connection if the first was lost: statements only read.

        Checking each connection before each use would cost an eighth of the API's time.
        """
        try:
            return await self._asked(statement, parameters, zone)
        except psycopg.errors.QueryCanceled:
            raise
        except psycopg.Error as problem:
            if not is_away(problem) or isinstance(problem, PoolTimeout):
                raise
            await self._pool.check()
            return await self._asked(statement, parameters, zone)

    async def _asked(self, statement: Statement, parameters: Parameters, zone: str | None) -> list[Row]:
        async with self._pool.connection() as connection:
            try:
                async with asyncio.timeout(ANSWER_S):
                    if zone is not None:
                        return await _in_zone(connection, statement, parameters, zone)
                    cursor = await connection.execute(statement, parameters)
                    return await cursor.fetchall()
            except TimeoutError:
                await self._pool.drain()  # the other connections are likely lost too: the next requests get new ones
                raise


async def _in_zone(
    connection: psycopg.AsyncConnection[TupleRow], statement: Statement, parameters: Parameters, zone: str
) -> list[Row]:
    async with connection.transaction():
        await connection.execute("SELECT set_config('timezone', %s, true)", [zone])
        cursor = await connection.execute(statement, parameters)
        return await cursor.fetchall()
