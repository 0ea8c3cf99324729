"""Rows as Postgres copies them out: one snapshot, on a connection of the download's own, which ends with it.

COPY takes no bound values. So they are bound in a statement before, as settings of the transaction, and the copied statement reads
them from there: no text of a client becomes SQL.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import psycopg
from psycopg import generators, sql, waiting
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.rows import TupleRow

from refold.api.http.downloads.columns import Column, described, place
from refold.api.http.wire.database import Row, api_errors
from refold.projections.tables.view_swap import hold
from refold.streams.postgres import session
from refold.streams.postgres.arrays import quoted_text
from refold.streams.postgres.connection import connect_async

READY_READ = waiting.Wait.R
PIECE_BYTES = 256 << 10
"""Bytes of rows that are handed on at once."""
_CANCEL_S = 3.0
_LOCK_MS = 5000
_VALUE = re.compile(r"%(?:%|s(?P<cast>::(?:double precision|[a-z][a-z0-9_]*)(?:\[\])?)?)")
_BIND = "SELECT set_config(v.name, v.value, true) FROM unnest(%s::text[], %s::text[]) AS v(name, value)"
_TYPES: dict[type, str] = {bool: "boolean", int: "bigint", float: "double precision", list: "text[]", tuple: "text[]"}


@dataclass(frozen=True)
class Selection:
    """Rows to download: a statement with `%s` for each value, values cast as in `%s::date`, and the view that it reads, with `further` ones.

    `state`: the statement, with its values, that reads the positions and everything else that an answer's headers say. `zone`: the time
    zone in which times are read and printed; None for UTC. `required`: which columns are never null, empty if that is not known.
    """

    view: tuple[str, str]
    statement: str
    values: Sequence[Any]
    state: tuple[str, Sequence[Any]]
    zone: str | None = None
    further: tuple[tuple[str, str], ...] = ()
    required: tuple[bool, ...] = ()


class Snapshot:
    """One transaction that sees one state of the tables, with the view locked: a promotion cannot point it at other tables meanwhile."""

    def __init__(self, db: psycopg.AsyncConnection[TupleRow], selection: Selection) -> None:
        self._db, self._selection = db, selection
        self.state: Row = ()
        self.columns: tuple[Column, ...] = ()

    async def begin(self) -> None:
        """Take the lock, then the snapshot, then learn the columns. Raises the API's errors, and psycopg's for values that Postgres refuses."""
        selection = self._selection
        with api_errors():
            await self._db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            await self._db.execute(f"SET LOCAL lock_timeout = {_LOCK_MS}")
            for view in (selection.view, *selection.further):
                await self._db.execute(hold(*view))
            if selection.zone is not None:
                await self._db.execute("SELECT set_config('timezone', %s, true)", [selection.zone])
            self.state = await self._one(*selection.state)
            none = f'SELECT * FROM ({selection.statement}) AS "_Rows" LIMIT 0'
            cursor = await self._db.execute(none.encode(), selection.values)
            self.columns = described(cursor.description or (), selection.required)

    async def _one(self, statement: str, values: Sequence[Any]) -> Row:
        found = await (await self._db.execute(statement.encode(), values)).fetchall()
        return found[0]

    async def copied(self, shown: sql.Composable, options: sql.Composable) -> AsyncGenerator[bytes, None]:
        """The rows, whole records joined to pieces; the connection is closed behind the last.

        `shown`: what COPY selects of the columns `place(0)` and following; `options`: of COPY.
        """
        names = [f"refold.v{number}" for number in range(len(self._selection.values))]
        values = [as_setting(value) for value in self._selection.values]
        rows = read_from_settings(self._selection.statement, self._selection.values)
        places = ", ".join(place(number).as_string() for number in range(len(self.columns)))
        statement = f'SELECT {shown.as_string(self._db)} FROM ({rows}) AS "_Rows"({places})'
        copy = f"COPY ({statement}) TO STDOUT {options.as_string(self._db)}"
        with api_errors():
            if names:
                await self._db.execute(_BIND, [names, values])
            async with aclosing(_pieces(self._db, copy.encode())) as pieces:
                async for piece in pieces:
                    yield piece
            await self._db.close()


@asynccontextmanager
async def snapshot(url: str, settings: Mapping[str, str], selection: Selection) -> AsyncIterator[Snapshot]:
    """A snapshot for the block; whatever runs in it when the block is left is cancelled. Raises as `Snapshot.begin`."""
    with api_errors():
        db = await connect_async(url, "download", {**session.READER, **settings})
    try:
        found = Snapshot(db, selection)
        await found.begin()
        yield found
    finally:
        await asyncio.shield(asyncio.ensure_future(_ended(db)))


async def _ended(db: psycopg.AsyncConnection[TupleRow]) -> None:
    """Close a connection; Postgres would only notice at the next row that nobody is there."""
    with suppress(psycopg.Error, TimeoutError, OSError):
        if not db.closed:
            await db.cancel_safe(timeout=_CANCEL_S)
    await db.close()


def as_setting(value: Any) -> str:
    """A value as the text of a setting. Null has none: `read_from_settings` writes it."""
    if isinstance(value, list | tuple):
        return "{" + ",".join("NULL" if item is None else quoted_text(str(item)) for item in value) + "}"
    return "" if value is None else str(value)


def read_from_settings(statement: str, values: Sequence[Any]) -> str:
    """The statement with each `%s` replaced by a look at its setting, once for all rows."""
    number = -1

    def value(found: re.Match[str]) -> str:
        nonlocal number
        if found.group() == "%%":
            return "%"
        number += 1
        given = values[number]
        cast = found["cast"] or f"::{_TYPES.get(type(given), 'text')}"
        # The subquery runs once; coalesce keeps `= ANY(...)` from reading it as a set of rows.
        return f"NULL{cast}" if given is None else f"coalesce((SELECT current_setting('refold.v{number}'){cast}))"

    found = _VALUE.sub(value, statement)
    if number + 1 != len(values):
        raise ValueError(f"the statement takes {number + 1} values, not {len(values)}")
    return found


async def _pieces(db: psycopg.AsyncConnection[TupleRow], copy: bytes) -> AsyncGenerator[bytes, None]:
    """What COPY sends. psycopg's own loop runs through the event loop for each row, which would cost more than the rest of a download."""
    db.pgconn.send_query(copy)
    (begun,) = await db.wait(generators.execute(db.pgconn))
    if begun.status != ExecStatus.COPY_OUT:
        raise psycopg.errors.error_from_result(begun)
    ended = False
    while not ended:
        piece, ended = await db.wait(_available(db))
        if piece:
            yield piece
    for result in await db.wait(generators.execute(db.pgconn)):
        if result.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)


def _available(db: psycopg.AsyncConnection[TupleRow]) -> PQGen[tuple[bytes, bool]]:
    """Whole rows, as many as there are for now or a piece of them, and whether the last one came."""
    take, ones, parts, size = db.pgconn.get_copy_data, repeat(1), list[bytes](), 0
    while size < PIECE_BYTES:
        rows, length = list[memoryview](), 0
        for length, row in map(take, ones):  # a million times in a download: each operation here counts
            if length <= 0:
                break
            rows.append(row)
        parts.append(b"".join(rows))
        size += len(parts[-1])
        if length < 0:
            return b"".join(parts), True
        if not size:
            while not (yield READY_READ):
                pass
        elif not rows:  # nothing more is there for now
            break
        db.pgconn.consume_input()
    return b"".join(parts), False
