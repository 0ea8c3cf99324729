"""CSV, JSON and JSON lines: text that Postgres wrote, passed on unchanged."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from psycopg import sql

from refold.api.http.downloads.columns import Column, place
from refold.api.http.downloads.copied import Snapshot

_CSV = sql.SQL("(FORMAT csv)")
# With a quote and a delimiter that JSON text cannot contain, CSV is the text itself, a line for each row.
_PLAIN = sql.SQL("(FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')")
_SPECIAL = ('"', ",", "\n", "\r")


async def csv(rows: Snapshot) -> AsyncGenerator[bytes, None]:
    """A line of names, then the rows. Null is empty, an empty text `""`; booleans are `true` and `false`, all else as Postgres prints it."""
    # Names go with the first rows: until then an error can still be answered.
    names = (",".join(_named(column.name) for column in rows.columns) + "\n").encode()
    shown = sql.SQL(", ").join(
        sql.SQL("{}::text" if column.kind == "bool" and not column.array else "{}").format(place(number))
        for number, column in enumerate(rows.columns)
    )
    async with aclosing(rows.copied(shown, _CSV)) as pieces:
        async for piece in pieces:
            yield names + piece
            names = b""
    if names:
        yield names


async def ndjson(rows: Snapshot) -> AsyncGenerator[bytes, None]:
    """A JSON object a line, as a page of rows shows it."""
    async with aclosing(rows.copied(_objects(rows.columns), _PLAIN)) as pieces:
        async for piece in pieces:
            yield piece


async def json(rows: Snapshot) -> AsyncGenerator[bytes, None]:
    """One JSON array of the same objects."""
    before = b"["
    async with aclosing(ndjson(rows)) as pieces:
        async for piece in pieces:
            yield before + piece[:-1].replace(b"\n", b",\n")
            before = b",\n"
    yield b"]" if before != b"[" else b"[]"


def _named(name: str) -> str:
    """A name in CSV, in quotes where it has to be."""
    quoted = not name or any(letter in name for letter in _SPECIAL) or name == "\\."
    return '"' + name.replace('"', '""') + '"' if quoted else name


def _objects(columns: Sequence[Column]) -> sql.Composed:
    """A row as JSON: decimals as text, so that no client reads them as floats."""
    values = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(_exact(column, number), sql.Identifier(column.name))
        for number, column in enumerate(columns)
    )
    return sql.SQL('(SELECT row_to_json("_Row")::text FROM (SELECT {}) "_Row")').format(values)


def _exact(column: Column, number: int) -> sql.Composable:
    if column.kind != "numeric":
        return place(number)
    return sql.SQL("{}::text" + "[]" * column.array).format(place(number))
